"""The order of a message's events when clocks or files cannot be trusted: cause and effect count."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pytest

from miltscan.trace.follow import Trace, find
from miltscan.trace.recipients import DeliveryStatus

NOW = datetime(2026, 11, 23, tzinfo=UTC)
A, B, C = "6AMG00aa000001", "6AMG00bb000002", "6AMG00cc000003"
ENVELOPE = "from=<s@x>, size=1, class=0, nrcpts=1, msgid=<a@b>, relay=x"
SCAN = '{"event":"message","queue_id":"6AMG00aa000001","timestamp":"2026-11-22T16:00:01.5+00:00","action":"accept"}'
DEFERRED = "to=<r@y>, delay=00:00:00, xdelay=00:00:00, pri=30001, dsn=4.4.1, stat=Deferred: Connection refused"
HANDED = f"to=<r@y>, delay=00:10:00, xdelay=00:00:01, pri=120001, dsn=2.0.0, stat=Sent ({B} Message accepted)"
SENT = "to=<r>, delay=00:00:01, xdelay=00:00:00, pri=30400, dsn=2.0.0, stat=Sent"


def line(time: str, queue_id: str, text: str) -> str:
    """A line of a log with a time of 22 November, or another day, or none."""
    text = text if text.startswith("{") else f"{queue_id}: {text}"
    if not time:
        return f"<22>1 - mx sm-mta 1 - - {text}"
    return f"{time if time[0].isalpha() else f'Nov 22 {time}'} mx sm-mta[1]: {text}"


def traced(subject: str, lines: Iterable[str]) -> Trace:
    """The only trace of a message in these lines."""
    kept = [one.encode() for one in lines]

    def read(texts: Sequence[bytes]) -> Iterable[bytes]:
        return (one for one in kept if any(text in one for text in texts))

    (found,) = find(subject, read, NOW).traces
    return found


def texts(trace: Trace) -> list[str]:
    """The texts of its events, in order."""
    return [event.text for event in trace.events]


STORY = [ENVELOPE, SCAN, DEFERRED, HANDED, ENVELOPE, SENT]
CLOCKS = {
    "sane": ["16:00:01", "16:00:01", "16:00:02", "16:10:02", "16:10:02", "16:10:03"],
    "a step back": ["16:00:01", "16:00:01", "16:00:02", "15:10:02", "15:10:02", "15:10:03"],
    "summer time ends": ["02:50:01", "02:50:01", "02:50:02", "02:00:02", "02:00:02", "02:00:03"],
    "delivery an hour behind": ["16:00:01", "16:00:01", "16:00:02", "16:10:02", "15:10:02", "15:10:03"],
    "delivery a day ahead": ["16:00:01", "16:00:01", "16:00:02", "16:10:02", "Nov 23 16:10:02", "Nov 23 16:10:03"],
    "the scan an hour ahead": ["15:00:01", "16:00:01", "15:00:02", "15:10:02", "15:10:02", "15:10:03"],
    "the year changes": [*["Dec 31 23:59:59"] * 3, *["Jan  1 00:00:02"] * 3],
    "unknown": [""] * 6,
}


ORDERS = {"in order": range(6), "delivery first": [4, 5, 0, 1, 2, 3], "scan first": [1, 0, 2, 3, 4, 5]}


@pytest.mark.parametrize("clocks", CLOCKS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.usefixtures("utc")
def test_the_order_is_the_same_with_any_clock(clocks: str, order: str) -> None:
    """Files in any order and clocks that disagree change neither the order nor the last attempt."""
    ids = [A, A, A, A, B, B]
    lines = [line(*one) for one in zip(CLOCKS[clocks], ids, STORY, strict=True)]
    trace = traced(A, [lines[number] for number in ORDERS[order]])
    assert texts(trace) == STORY
    assert trace.queue_ids == (A, B)
    assert trace.status is DeliveryStatus.DELIVERED


@pytest.mark.usefixtures("utc")
def test_clocks_that_agree_are_believed() -> None:
    """The next sendmail logs the envelope before this one logs its reply, perhaps a second earlier."""
    lines = [line("16:00:01", A, ENVELOPE), line("16:00:03", A, HANDED), line("16:00:02", B, ENVELOPE)]
    trace = traced(A, lines)
    assert texts(trace) == [ENVELOPE, ENVELOPE, HANDED]
    assert trace.is_by_time


@pytest.mark.usefixtures("utc")
def test_attempts_in_files_of_the_wrong_order() -> None:
    """The priority in the queue grows with each attempt, so the last one is known without a clock."""
    last = DEFERRED.replace("pri=30001", "pri=120001").replace("refused", "reset")
    sent = SENT.replace("pri=30400", "pri=210001").replace("<r>", "<r@y>")
    times = ["03:10:00", "02:20:00", "02:50:00", "16:00:00"]
    lines = [line(time, A, text) for time, text in zip(times, [sent, last, DEFERRED, ENVELOPE], strict=True)]
    trace = traced(A, lines)
    assert texts(trace) == [ENVELOPE, DEFERRED, last, sent]
    assert trace.status is DeliveryStatus.DELIVERED
    assert not trace.is_by_time


@pytest.mark.usefixtures("utc")
def test_a_copy_and_a_notice_come_after_the_line_that_made_them() -> None:
    """Their own clock does not count before that line."""
    clone, notice = f"{B}: clone: owner=<boss@y>", f"{C}: DSN: User unknown"
    failed = SENT.replace("dsn=2.0.0, stat=Sent", "dsn=5.1.1, stat=User unknown")
    lines = [
        line("12:00:00", C, SENT),
        line("13:00:00", B, failed),
        line("16:00:00", A, ENVELOPE),
        line("16:00:01", A, clone),
        line("13:00:00", B, notice),
    ]
    trace = traced(A, lines)
    assert texts(trace) == [ENVELOPE, clone, failed, notice, SENT]
    assert (trace.queue_ids, trace.notice_ids) == ((A, B), (C,))
    assert trace.status is DeliveryStatus.FAILED
    assert [one.status for one in trace.notices] == [DeliveryStatus.DELIVERED]
