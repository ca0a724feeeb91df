"""Events: what reaches the page of detections and errors, and that no fault of the page's reaches the mail."""

import socket
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from miltscan.core.action import Accept, Decision, Reject, Reply, TempFail
from miltscan.core.message import Client
from miltscan.core.report import Report
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.status import events
from miltscan.status.events import KEPT, TEXT_LIMIT, Detection, ErrorEvent, RecentEvents, Reporter
from tests.fakes.messages import message

REJECT = Decision(Reject(Reply(550, "5.7.1", "Virus found")), "policy.on_infected")
LATER = Decision(TempFail(Reply(451, "4.3.2", "later")), "policy.on_error")


class Ends:
    """Both ends of a channel, and a ring that reads it."""

    def __init__(self) -> None:
        self.reading, self.sending = events.channel()
        self.reporter, self.ring = Reporter(self.sending), RecentEvents()

    def read(self) -> RecentEvents:
        """All that has come."""
        self.ring.read(self.reading)
        return self.ring


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A channel."""
    both = Ends()
    yield both
    both.reading.close()
    both.sending.close()


def _report(verdict: Verdict, decision: Decision = REJECT, **fields: Any) -> Report:  # noqa: ANN401 - any field
    return Report(message(**fields), verdict, decision, (), 0.0, 0.1)


def test_a_detection_arrives(ends: Ends) -> None:
    """With what leads to the line in the log."""
    ends.reporter.message(_report(Verdict.infected("clamd", "Win.Test")))
    (found,) = ends.read().detections
    expected = Detection(found.at, "5AMEkX012345", "192.0.2.1", "outbound", "Win.Test", "reject")
    assert found == expected


def test_what_is_private_does_not_arrive(ends: Ends) -> None:
    """No address of a person, no header: whoever may see the page need not be allowed to see the mail."""
    ends.reporter.message(_report(Verdict.infected("clamd", "Win.Test"), headers=((b"Subject", b" secret"),)))
    data = ends.reading.recv(20000)
    assert b"Win.Test" in data
    for private in (b"sender@", b"user@", b"secret", b"1@example.org"):
        assert private not in data


@pytest.mark.parametrize(
    ("verdict", "decision", "expected"),
    [
        (Verdict.clean("clamd"), Decision(Accept(), "clean"), None),
        (Verdict.clean("clamd"), LATER, ("message clean, tempfail", "")),
        (
            Verdict.error("clamd", Fault.CLOSED, "went away", "unix:/c"),
            LATER,
            ("message error, tempfail", "closed: unix:/c: went away"),
        ),
        (
            Verdict.unscanned("clamd", Limit.ENCRYPTED),
            Decision(Accept(), "policy"),
            ("message unscanned, accept", "encrypted"),
        ),
    ],
)
def test_what_is_an_error(ends: Ends, verdict: Verdict, decision: Decision, expected: tuple[str, str] | None) -> None:
    """All that was not scanned wholly, or that the client has to bring again; clean mail is none."""
    ends.reporter.message(_report(verdict, decision))
    assert [(one.what, one.text) for one in ends.read().troubles] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "engine_down", "server": "unix:/c", "why": "refused"}, "unix:/c is down: refused"),
        (
            {"event": "child_died", "child": "worker 1", "status": "killed by SIGKILL", "respawn_after": 0.1},
            "worker 1 died: killed by SIGKILL; replaced after 0.1 s",
        ),
        ({"event": "reload_failed", "why": ["one", "two"]}, "the former configuration stays: one; two"),
        (
            {"event": "exception", "where": "eom", "exception": "ValueError: x", "traceback": ["y"]},
            "at eom: ValueError: x",
        ),
        ({"event": "engine_down", "other": 1}, "other 1"),
        ({"event": "unheard_of", "level": "error", "timestamp": "now", "a": 1, "b": "c"}, "a 1, b c"),
    ],
)
def test_errors_of_the_service_in_words(ends: Ends, event: dict[str, Any], text: str) -> None:
    """One nobody has words for shows its fields."""
    ends.reporter.error(event)
    (found,) = ends.read().troubles
    assert (found.what, found.text) == (event["event"], text)


HOSTILE = ["<script>alert(1)</script>", "\u202egpj.exe", "a\x1b[2Jb\r\n\0", "\ud800", "\U000e0001" * 5000, "x" * 10_000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_arrive_clean_and_short(ends: Ends, text: str) -> None:
    """Printable, in one line, not longer than the limit, and nothing is lost for being hostile."""
    client = Client("x", text)
    ends.reporter.message(_report(Verdict.infected("clamd", text), queue_id=text, client=client))
    ends.reporter.error({"event": "exception", "where": text, "exception": text})
    ring = ends.read()
    (detection,), (trouble,) = ring.detections, ring.troubles
    for shown in (detection.signature, detection.queue_id, detection.client, trouble.text):
        assert shown.isprintable()
        assert 0 < len(shown) <= TEXT_LIMIT


def test_a_full_channel_delays_nobody(ends: Ends) -> None:
    """What does not fit is dropped, at once; the next that fits arrives."""
    report = _report(Verdict.infected("clamd", "Win.Test"))
    for _ in range(10_000):
        ends.reporter.message(report)
    ring = ends.read()
    assert 0 < len(ring.detections) <= KEPT
    ends.reporter.message(_report(Verdict.infected("clamd", "Win.Last")))
    while ends.read().detections[0].signature != "Win.Last":
        assert ends.ring.detections
    assert len(ends.ring.detections) == KEPT


def test_a_dead_reader_is_no_error(ends: Ends) -> None:
    """The exporter may have died, or never lived."""
    ends.reading.close()
    ends.reporter.message(_report(Verdict.infected("clamd", "Win.Test")))
    ends.reporter.error({"event": "exception"})


def test_an_event_that_cannot_be_told_is_no_error(ends: Ends) -> None:
    """The logger must not fail on it."""
    ends.reporter.error({"no": "event"})
    assert ends.read().troubles == []


def test_the_newest_is_first_and_the_oldest_goes() -> None:
    """The ring is bounded."""
    ring = RecentEvents()
    for number in range(KEPT + 10):
        ring.take(orjson.dumps(["detection", {**_DETECTION, "queue_id": str(number)}]))
        ring.take(orjson.dumps(["trouble", {**_TROUBLE, "text": str(number)}]))
    assert [one.queue_id for one in ring.detections[:2]] == [str(KEPT + 9), str(KEPT + 8)]
    assert [one.text for one in ring.troubles[:2]] == [str(KEPT + 9), str(KEPT + 8)]
    assert (len(ring.detections), len(ring.troubles)) == (KEPT, KEPT)


_DETECTION = {"at": 1.0, "queue_id": "Q", "client": "c", "direction": "inbound", "signature": "s", "action": "reject"}
_TROUBLE = {"at": 1.0, "what": "w", "text": "t", "queue_id": "Q"}


def test_the_same_trouble_again_is_one_entry() -> None:
    """A thousand clients during an outage do not push its cause off the page."""
    ring = RecentEvents()
    ring.take(orjson.dumps(["trouble", {**_TROUBLE, "what": "engine_down"}]))
    for number in range(1000):
        ring.take(orjson.dumps(["trouble", {**_TROUBLE, "at": float(number), "queue_id": str(number)}]))
    assert ring.troubles == [ErrorEvent(999.0, "w", "t", "999", 1000), ErrorEvent(1.0, "engine_down", "t", "Q", 1)]


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b"[]", b"[1,2,3]", b'["detection",{"x":1}]', b'["trouble",7]'])
def test_a_datagram_that_makes_no_sense_is_dropped(data: bytes) -> None:
    """Nobody but our own processes can send one, and even so."""
    ring = RecentEvents()
    ring.take(data)
    assert (ring.detections, ring.troubles) == ([], [])


def test_every_process_sends_to_the_same_ring() -> None:
    """The sending end is shared by a fork: two senders, one reader."""
    reading, sending = events.channel()
    other = socket.socket(fileno=sending.dup().detach())
    try:
        for end, name in ((sending, "one"), (other, "two")):
            Reporter(end).message(_report(Verdict.infected("clamd", name)))
        ring = RecentEvents()
        ring.read(reading)
        assert [one.signature for one in ring.detections] == ["two", "one"]
    finally:
        for end in (reading, sending, other):
            end.close()
