"""Rescans: what is due, what is recorded of a result, and when a cleared message may be released."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from miltscan.core.action import Accept, Decision
from miltscan.core.report import Report, Timed
from miltscan.core.rescan import RescanResult
from miltscan.core.verdict import Limit, Outcome, Verdict
from miltscan.errors import EntryError
from miltscan.quarantine.entry import Event, Standing, State
from miltscan.quarantine.rescan import due, event_of, release_due, rescan
from miltscan.quarantine.store import Store
from tests.fakes import messages
from tests.fakes.entries import ANN, BOB, MESSAGE, NOW, entry, put

CLEAN = Verdict.clean("clamd")
SAME = Verdict.infected("clamd", "Heuristics.Phishing.Email")
OTHER = Verdict.infected("clamd", "Other.Name")
DOWN = Verdict.unscanned("clamd", Limit.NO_ENGINE)
LIMITED = Verdict.unscanned("clamd", Limit.LIMITS)


def report(verdict: Verdict) -> Report:
    """A report with this verdict."""
    return Report(messages.message(), verdict, Decision(Accept(), "clean"), (Timed(verdict, 0.1),), 0.0, 0.1)


class ScriptedScanner:
    """Gives the verdict, and keeps what it was given."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self.seen = b""

    def scan(self, message: BinaryIO) -> Report:
        """By the script."""
        self.seen = message.read()
        return report(self.verdict)

    def version(self, _report: Report) -> int:
        """Of the present database."""
        return 27001


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty quarantine."""
    with closing(Store(tmp_path)) as opened:
        yield opened


def after(verdict: Verdict, *events: Event) -> Event:
    """What is recorded of this verdict on the entry with these events."""
    standing = Standing(entry(), events)
    result = RescanResult.FAILED
    for known, meaning in ((CLEAN, RescanResult.CLEARED), (SAME, RescanResult.DETECTED), (OTHER, RescanResult.RENAMED)):
        result = meaning if verdict is known else result
    result = RescanResult.UNSCANNED if verdict is LIMITED else result
    return event_of(result, standing, report(verdict), 27001, Event(NOW, "keeper"))


def was(state: State, *recipients: bytes, by: str = "keeper", outcome: Outcome | None = None, at: float = NOW) -> Event:
    """An event."""
    return Event(at, by, state, recipients, outcome=outcome)


@pytest.mark.parametrize(
    ("verdict", "state", "scan"),
    [
        (CLEAN, State.CLEARED, (Outcome.CLEAN, None, 27001)),
        (SAME, None, (Outcome.INFECTED, SAME.signature, 27001)),
        (OTHER, None, (Outcome.INFECTED, "Other.Name", 27001)),
        (LIMITED, None, (Outcome.INFECTED, SAME.signature, 27001)),
    ],
)
def test_a_stored_message(verdict: Verdict, state: State | None, scan: tuple[Outcome, str | None, int]) -> None:
    """Only a clean scan clears; an incomplete one leaves what was detected."""
    event = after(verdict)
    assert (event.state, event.outcome, event.signature, event.signatures) == (state, *scan)
    assert bool(event.reason) is (verdict is LIMITED)


def test_a_cleared_message_that_is_detected_again() -> None:
    """It waits again as a detected one."""
    event = after(OTHER, was(State.CLEARED, outcome=Outcome.CLEAN))
    assert (event.state, event.recipients) == (State.STORED, (ANN, BOB))


def test_only_those_who_wait_are_concerned() -> None:
    """A recipient who has the message, or is just getting it, keeps that state."""
    event = after(CLEAN, was(State.RELEASING, ANN, BOB), was(State.RELEASED, ANN), was(State.STORED, BOB))
    assert (event.state, event.recipients) == (State.CLEARED, (BOB,))
    gone = after(CLEAN, was(State.RELEASING))
    assert (gone.state, gone.recipients, gone.outcome) == (None, (), Outcome.CLEAN)


def test_a_result_is_recorded(store: Store) -> None:
    """The scanner receives the message as it was received; the row shows the result."""
    entry_id = put(store.files).id
    scanner = ScriptedScanner(CLEAN)
    done = rescan(store, entry_id, scanner, by="ann", clock=lambda: NOW)
    assert (scanner.seen, done.result) == (MESSAGE, RescanResult.CLEARED)
    assert done.before == (Outcome.INFECTED, SAME.signature)
    (event,) = store.files.events(entry_id)
    assert (event.by, event.time, event.state) == ("ann", NOW, State.CLEARED)
    (row,) = store.rows()
    assert (row.state, row.outcome, row.signatures) == (State.CLEARED, "clean", 27001)


def test_an_engine_that_is_down_leaves_no_trace(store: Store) -> None:
    """The entry is as before, and still due."""
    entry_id = put(store.files).id
    assert rescan(store, entry_id, ScriptedScanner(DOWN), by="keeper").result is RescanResult.FAILED
    assert store.files.events(entry_id) == ()
    store.refresh()
    assert [row.id for row in due(store, {27001})] == [entry_id]


def test_a_message_that_is_released_meanwhile(store: Store) -> None:
    """Nothing is recorded next to a release under way."""
    entry_id = put(store.files).id
    with store.files.claim(entry_id), pytest.raises(EntryError, match="another process"):
        rescan(store, entry_id, ScriptedScanner(CLEAN), by="keeper")
    assert store.files.events(entry_id) == ()


def test_what_is_due(store: Store) -> None:
    """Entries that no present version has seen: detected, unscanned and cleared ones, the newest of a state first."""
    old = put(store.files, time=NOW, signatures=27000).id
    unknown = put(store.files, time=NOW + 1, signatures=0, outcome=Outcome.ERROR, signature=None).id
    put(store.files, time=NOW + 2, signatures=27001)
    put(store.files, time=NOW + 3, signatures=27000, outcome=Outcome.CLEAN, signature=None)
    cleared = put(store.files, time=NOW + 4, signatures=26000).id
    store.files.record(cleared, Event(NOW, "keeper", State.CLEARED, outcome=Outcome.CLEAN, signatures=27000))
    gone = put(store.files, time=NOW + 5, signatures=27000).id
    store.files.record(gone, was(State.RELEASING))
    store.files.record(gone, was(State.RELEASED))
    store.refresh()
    assert [row.id for row in due(store, {27001, 27002})] == [unknown, old, cleared]
    assert [*due(store, {27000})] == [row for row in store.rows() if row.id == unknown]
    assert [*due(store, set())] == []


def test_the_pauses_before_a_release() -> None:
    """At once after it was cleared, then a minute after a failure, twice as long after each further one, six hours."""
    cleared, failed = was(State.CLEARED, outcome=Outcome.CLEAN), was(State.CLEARED, ANN, BOB, at=NOW + 10)
    begun = was(State.RELEASING, ANN, BOB)
    pauses = [release_due(Standing(entry(), (cleared, *([begun, failed] * number)))) for number in range(12)]
    assert pauses[:4] == [0, NOW + 70, NOW + 130, NOW + 250]
    assert pauses[-1] == NOW + 10 + 6 * 3600
    again = Event(NOW + 20, "keeper", outcome=Outcome.CLEAN, signatures=27002)
    assert release_due(Standing(entry(), (cleared, begun, failed, again))) == NOW + 70
    by_hand = was(State.CLEARED, ANN, BOB, by="ann")
    assert release_due(Standing(entry(), (cleared, begun, by_hand))) == 0
