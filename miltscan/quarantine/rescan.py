"""Scans messages of the quarantine again: what no engine detects any more becomes `cleared`.

The scanner is passed in. A result is recorded as an event of the entry with the version of the signature database, so
that it is known what still has to be scanned; an engine that failed leaves no event, and the entry as it was.

What an area releases by itself when it is cleared has pauses between its attempts, which follow from the events.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol

from miltscan.core.report import Report
from miltscan.core.rescan import RescanResult, judge
from miltscan.core.verdict import Outcome
from miltscan.errors import EntryError
from miltscan.quarantine.entry import Entry, Event, Standing, State
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.store import Store
from miltscan.quarantine.tables import Row

_KEPT = (Outcome.CLEAN, Outcome.SPAM)
_PAGE = 100  # rows
_FIRST_PAUSE, _LONGEST_PAUSE = 60.0, 6 * 3600.0  # seconds between two attempts to release what was cleared


class Scanner(Protocol):
    """Scans one message at a time, and knows the version of the signature database of a report; 0 is unknown."""

    def scan(self, message: BinaryIO) -> Report:
        """The report on a message. Raises MiltscanError and OSError if it cannot be read or kept meanwhile."""

    def version(self, report: Report) -> int:
        """The version of the signature database that gave the verdict of this report."""


class Rescanned(NamedTuple):
    """An entry that was scanned again: the result, and the outcome and signature of the scan before and of this one."""

    entry: Entry
    result: RescanResult
    before: tuple[Outcome, str | None]
    report: Report


def rescan(  # noqa: PLR0913 - what a scan of a message needs
    store: Store,
    entry_id: str,
    scanner: Scanner,
    *,
    by: str,
    keys: Sequence[Any] = (),
    clock: Callable[[], float] = time.time,
) -> Rescanned:
    """Scan an entry, and record the result as done by `by`. `keys` are the identities for encrypted ones.

    Raises EntryError where it cannot be read, or is released or deleted just now, StoreError, and what the scanner
    raises.
    """
    standing = store.files.read(entry_id)
    with store.files.message(entry_id, keys) as message:
        report = scanner.scan(message)
    outcome, signature, _ = standing.scan
    result = judge(outcome, signature, standing.entry.engine, report)
    if result is not RescanResult.FAILED:
        with store.files.claim(entry_id) as claimed:
            if not claimed:
                raise EntryError(f"entry {entry_id}: another process is releasing or deleting it. Try again later.")
            now = store.files.read(entry_id)  # it may have changed during the scan
            store.record(entry_id, event_of(result, now, report, scanner.version(report), Event(clock(), by)))
    return Rescanned(standing.entry, result, (outcome, signature), report)


def event_of(result: RescanResult, standing: Standing, report: Report, version: int, event: Event) -> Event:
    """What is recorded of a result, as `event` with more fields; only those who wait for the message are concerned.

    A scan that was not complete changes nothing but the version: what was detected before counts as detected.
    """
    outcome, signature, _ = standing.scan
    change: tuple[State, State] | None = None
    match result:
        case RescanResult.CLEARED:
            event = event._replace(outcome=Outcome.CLEAN)
            change = (State.STORED, State.CLEARED)
        case RescanResult.DETECTED | RescanResult.RENAMED:
            event = event._replace(outcome=Outcome.INFECTED, signature=report.verdict.signature)
            change = (State.CLEARED, State.STORED)
        case _:
            reason = f"not scanned completely: {report.verdict.reason or report.verdict.outcome}"
            event = event._replace(outcome=outcome, signature=signature, reason=reason)
    concerned = tuple(one for one, state in standing.states.items() if change and state is change[0])
    if change and concerned:
        event = event._replace(state=change[1], recipients=concerned)
    return event._replace(signatures=version)


def due(store: Store, versions: Collection[int]) -> Iterator[Row]:
    """The entries that were not scanned with one of these versions or a newer one, newest first.

    What was clean or spam when it was stored is left out: signatures of viruses change nothing about it. Raises
    StoreError.
    """
    oldest = min(versions, default=0)
    for state in (State.STORED, State.CLEARED):
        wanted, after = Selection(state=state, signatures_below=oldest), ""
        while oldest and (page := store.rows(wanted, _PAGE, after)):
            yield from (row for row in page if state is State.CLEARED or row.outcome not in _KEPT)
            after = page[-1].id


def release_due(standing: Standing) -> float:
    """When a cleared entry may be released by itself (epoch, seconds): at once, then after longer and longer pauses."""
    failures, last = 0, 0.0
    for event in standing.events:
        if event.state is not State.CLEARED:
            continue
        if event.outcome is not None:  # it became cleared
            failures = 0
        elif event.by == "keeper":  # it is cleared again, after a release that failed
            failures, last = failures + 1, event.time
    return last + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 10)) if failures else 0.0
