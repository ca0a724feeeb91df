"""Events reach the status page, and no fault of the page affects mail."""

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
    """Both ends of a channel, and the events that were received from it."""

    def __init__(self) -> None:
        self.reading, self.sending = events.channel()
        self.reporter, self.recent = Reporter(self.sending), RecentEvents()

    def read(self) -> RecentEvents:
        """Receive what has arrived."""
        self.recent.read(self.reading)
        return self.recent


@pytest.fixture
def ends() -> Iterator[Ends]:
    """A channel that is closed after the test."""
    both = Ends()
    yield both
    both.reading.close()
    both.sending.close()


def _report(verdict: Verdict, decision: Decision = REJECT, **fields: Any) -> Report:  # noqa: ANN401 - any field
    return Report(message(**fields), verdict, decision, (), 0.0, 0.1)


def test_a_detection_arrives(ends: Ends) -> None:
    """A detection has the queue ID, which leads to its line in the log."""
    ends.reporter.message(_report(Verdict.infected("clamd", "Win.Test")))
    (found,) = ends.read().detections
    expected = Detection(found.at, "5AMEkX012345", "192.0.2.1", "outbound", "Win.Test", "reject")
    assert found == expected


def test_the_reason_of_a_server_that_is_down_arrives(ends: Ends) -> None:
    """The page names the reason for each server, the newest one."""
    for why in ("Connection refused", "cannot start: /d has no signatures"):
        ends.reporter.error({"event": "engine_down", "engine": "clamd", "server": "unix:/c", "why": why})
    assert ends.read().reasons == {("clamd", "unix:/c"): "cannot start: /d has no signatures"}


def test_what_is_private_does_not_arrive(ends: Ends) -> None:
    """No address of a person and no header is sent: a viewer of the page may not be allowed to read the mail."""
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
            None,
        ),
        (
            Verdict.unscanned("clamd", Limit.TOO_LARGE),
            Decision(Accept(), "policy"),
            ("message unscanned, accept", "too-large"),
        ),
    ],
)
def test_what_is_an_error(ends: Ends, verdict: Verdict, decision: Decision, expected: tuple[str, str] | None) -> None:
    """Mail that was not scanned completely or was tempfailed is an error; encrypted mail that is accepted is not."""
    ends.reporter.message(_report(verdict, decision))
    assert [(one.what, one.text) for one in ends.read().errors] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "engine_down", "engine": "a", "server": "unix:/c", "why": "refused"}, "a unix:/c is down: refused"),
        (
            {"event": "child_died", "child": "worker 1", "status": "killed by SIGKILL", "respawn_after": 0.1},
            "worker 1 died: killed by SIGKILL; replaced after 0.1 s",
        ),
        ({"event": "reload_failed", "why": ["one", "two"]}, "the former configuration stays in force: one; two"),
        (
            {"event": "exception", "where": "eom", "exception": "ValueError: x", "traceback": ["y"]},
            "at eom: ValueError: x",
        ),
        ({"event": "engine_down", "other": 1}, "other 1"),
        ({"event": "unheard_of", "level": "error", "timestamp": "now", "a": 1, "b": "c"}, "a 1, b c"),
    ],
)
def test_errors_of_the_service_in_words(ends: Ends, event: dict[str, Any], text: str) -> None:
    """An error of the service is described in words, or by its fields if it has no phrase."""
    ends.reporter.error(event)
    (found,) = ends.read().errors
    assert (found.what, found.text) == (event["event"], text)


HOSTILE = ["<script>alert(1)</script>", "\u202egpj.exe", "a\x1b[2Jb\r\n\0", "\ud800", "\U000e0001" * 5000, "x" * 10_000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_arrive_clean_and_short(ends: Ends, text: str) -> None:
    """Texts are printable, of one line and within the limit, and a hostile text loses no event."""
    client = Client("x", text)
    ends.reporter.message(_report(Verdict.infected("clamd", text), queue_id=text, client=client))
    ends.reporter.error({"event": "exception", "where": text, "exception": text})
    recent = ends.read()
    (detection,), (error,) = recent.detections, recent.errors
    for shown in (detection.signature, detection.queue_id, detection.client, error.text):
        assert shown.isprintable()
        assert 0 < len(shown) <= TEXT_LIMIT


def test_a_full_channel_delays_nobody(ends: Ends) -> None:
    """A datagram that does not fit is dropped at once; the next one that fits arrives."""
    report = _report(Verdict.infected("clamd", "Win.Test"))
    for _ in range(10_000):
        ends.reporter.message(report)
    recent = ends.read()
    assert 0 < len(recent.detections) <= KEPT
    ends.reporter.message(_report(Verdict.infected("clamd", "Win.Last")))
    while ends.read().detections[0].signature != "Win.Last":
        assert ends.recent.detections
    assert len(ends.recent.detections) == KEPT


def test_a_dead_reader_is_no_error(ends: Ends) -> None:
    """A sender ignores that the exporter died or never started."""
    ends.reading.close()
    ends.reporter.message(_report(Verdict.infected("clamd", "Win.Test")))
    ends.reporter.error({"event": "exception"})


def test_an_event_that_cannot_be_sent_is_no_error(ends: Ends) -> None:
    """The logger does not fail when an event cannot be sent."""
    ends.reporter.error({"no": "event"})
    assert ends.read().errors == []


def test_the_newest_is_first_and_the_oldest_goes() -> None:
    """The number of events is bounded, and the oldest are dropped."""
    recent = RecentEvents()
    for number in range(KEPT + 10):
        recent.add(orjson.dumps(["detection", {**_DETECTION, "queue_id": str(number)}]))
        recent.add(orjson.dumps(["error", {**_ERROR, "text": str(number)}]))
    assert [one.queue_id for one in recent.detections[:2]] == [str(KEPT + 9), str(KEPT + 8)]
    assert [one.text for one in recent.errors[:2]] == [str(KEPT + 9), str(KEPT + 8)]
    assert (len(recent.detections), len(recent.errors)) == (KEPT, KEPT)


_DETECTION = {"at": 1.0, "queue_id": "Q", "client": "c", "direction": "inbound", "signature": "s", "action": "reject"}
_ERROR = {"at": 1.0, "what": "w", "text": "t", "queue_id": "Q"}


def test_a_repeated_error_is_one_entry() -> None:
    """A thousand repeated errors are one entry, so that they do not push their cause off the page."""
    recent = RecentEvents()
    recent.add(orjson.dumps(["error", {**_ERROR, "what": "engine_down"}]))
    for number in range(1000):
        recent.add(orjson.dumps(["error", {**_ERROR, "at": float(number), "queue_id": str(number)}]))
    assert recent.errors == [ErrorEvent(999.0, "w", "t", "999", 1000), ErrorEvent(1.0, "engine_down", "t", "Q", 1)]


@pytest.mark.parametrize("data", [b"", b"\xff", b"{}", b"[]", b"[1,2,3]", b'["detection",{"x":1}]', b'["error",7]'])
def test_a_datagram_that_makes_no_sense_is_dropped(data: bytes) -> None:
    """A malformed datagram is dropped, although only miltscan's own processes can send one."""
    recent = RecentEvents()
    recent.add(data)
    assert (recent.detections, recent.errors) == ([], [])


def test_every_process_sends_to_the_same_reader() -> None:
    """After a fork several processes share the sending end, and one reader receives from all."""
    reading, sending = events.channel()
    other = socket.socket(fileno=sending.dup().detach())
    try:
        for end, name in ((sending, "one"), (other, "two")):
            Reporter(end).message(_report(Verdict.infected("clamd", name)))
        recent = RecentEvents()
        recent.read(reading)
        assert [one.signature for one in recent.detections] == ["two", "one"]
    finally:
        for end in (reading, sending, other):
            end.close()
