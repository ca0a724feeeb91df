"""The last messages are found by queue ID and Message-ID, and what is sent of them is not private."""

from dataclasses import replace

import orjson

from miltscan.core.action import Accept, Decision
from miltscan.core.report import Report
from miltscan.core.verdict import Verdict
from miltscan.status import events, lookup
from miltscan.status.events import RecentEvents, Reporter
from miltscan.status.lookup import KEPT_MESSAGES, MessageLine, RecentMessages, key_of
from tests.fakes.messages import message

LINE = MessageLine(1.0, "A", key_of(b"<a@b>"), "inbound", "clean", "accept", 250, "", "", 0.1, 100)


def _report(number: int) -> Report:
    found = message(queue_id=f"Q{number}", message_id=f"<{number}@secret.example>".encode())
    return Report(found, Verdict.clean("clamd"), Decision(Accept(), "default"), (), 0.0, 0.25)


def test_messages_arrive_in_batches() -> None:
    """Each message is found, however many a worker sends at once; sender, recipients and Message-ID are not sent."""
    reading, sending = events.channel()
    with reading, sending:
        Reporter(sending).messages([_report(number) for number in range(120)])
        recent = RecentEvents()
        recent.read(reading)
    found = recent.messages.find("<119@secret.example>")
    assert found == recent.messages.find("119@secret.example") == recent.messages.find(" Q119 ")
    assert found
    assert (found.queue_id, found.outcome, found.code, found.seconds) == ("Q119", "clean", 250, 0.25)
    assert recent.messages.find("Q0")
    data = b"".join(orjson.dumps(batch) for batch in lookup.batches([_report(1)]))
    for private in (b"secret.example", b"sender@", b"recipient@"):
        assert private not in data


def test_the_oldest_messages_go() -> None:
    """Memory is bounded, and an ID that is used again is that of the newest message."""
    kept = RecentMessages()
    kept.add(LINE)
    kept.add(replace(LINE, queue_id="B"))
    assert kept.find("<a@b>") == replace(LINE, queue_id="B")
    for number in range(KEPT_MESSAGES - 1):
        kept.add(replace(LINE, queue_id=f"Q{number}", key=f"{number}"))
    assert kept.find("A") is None
    assert kept.find("<a@b>") == replace(LINE, queue_id="B")
    kept.add(replace(LINE, queue_id="last", key=""))
    assert (kept.find("B"), kept.find("<a@b>"), kept.find("")) == (None, None, None)
