"""The releases of the keeper: those that were interrupted, and those that nobody has to ask for.

A release whose process died is sent again: its message may have arrived, and twice is better than never. What is
cleared leaves areas with `release_clean`, with longer and longer pauses between attempts. Both follow from the files.
"""

import socket
import time
from collections.abc import Iterator, Sequence

from miltscan.config.keyfile import Loaded
from miltscan.core.verdict import Outcome
from miltscan.daemon.keeping import Current, Health, Stores, identities_of, log_change
from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.audit import release_lines
from miltscan.quarantine.entry import Event, Standing, State
from miltscan.quarantine.release import Order, Release, Releaser
from miltscan.quarantine.rescan import release_due
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.store import Store
from miltscan.scanning.assemble import releaser_for
from miltscan.telemetry import keeper_metrics, log
from miltscan.telemetry.keeper_metrics import ReleaseResult

_POLL = 2.0  # seconds between two looks
_PAGE = 100  # rows
_UNREADABLE = 3600.0  # seconds until an entry that could not be read is tried again
_UNFINISHED = "the release did not finish"


class Releases:
    """The releases of the keeper."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._stores = Stores(current)
        self._health = Health("release")
        self._later: dict[str, float] = {}  # when a cleared entry may be tried again (epoch, seconds)

    def run(self) -> float:
        """Release what is due; return the seconds until the next look."""
        loaded = self._current()
        try:
            store = self._stores.get()
            keys = identities_of(loaded.settings)
            releaser = releaser_for(loaded, store.files, store.record, socket.gethostname(), keys)
            self._finish(store, releaser)
            self._release_cleared(store, releaser, loaded)
        except StoreError as error:
            self._health.fails(str(error))
        else:
            self._health.works()
        return _POLL

    def _finish(self, store: Store, releaser: Releaser) -> None:
        """Send again what a process did not finish; where that is not possible, the message waits again."""
        for row in store.rows(Selection(state=State.RELEASING), _PAGE):
            try:
                with store.files.claim(row.id) as claimed:
                    order = resumed(store.files.read(row.id))
            except EntryError:  # deleted meanwhile
                continue
            if claimed and order and self._release(releaser, row.id, order) is ReleaseResult.FAILED:
                event = Event(time.time(), "keeper", State.STORED, order.recipients, reason=_UNFINISHED)
                store.record(row.id, event)

    def _release_cleared(self, store: Store, releaser: Releaser, loaded: Loaded) -> None:
        """Release what was cleared in areas that want it, until the delivery sendmail cannot be reached."""
        areas = [name for name, area in loaded.settings.quarantine.areas.items() if area.release_clean]
        now, found = time.time(), set[str]()
        for entry_id in _cleared(store, areas):
            found.add(entry_id)
            if self._later.get(entry_id, 0.0) > now:
                continue
            result = self._try(store, releaser, entry_id, now)
            if result is ReleaseResult.UNREACHABLE:
                return
        self._later = {entry_id: when for entry_id, when in self._later.items() if entry_id in found}

    def _try(self, store: Store, releaser: Releaser, entry_id: str, now: float) -> ReleaseResult | None:
        """Release one cleared entry if its pause is over."""
        try:
            due = release_due(store.files.read(entry_id))
        except EntryError:  # deleted meanwhile, or damaged
            due = now + _UNREADABLE
        self._later[entry_id] = due
        if due > now:
            return None
        result = self._release(releaser, entry_id, Order("keeper"))
        if result is ReleaseResult.FAILED:
            self._later[entry_id] = now + _UNREADABLE
        return result

    def _release(self, releaser: Releaser, entry_id: str, order: Order) -> ReleaseResult:
        """Release an entry; the worst result of its recipients. A fault of the files is counted, logged, and passes."""
        try:
            release = releaser.release(entry_id, order)
        except EntryError as error:
            keeper_metrics.QUARANTINE_RELEASES.child(ReleaseResult.FAILED).inc()
            log.logger().warning("release_impossible", entry=entry_id, why=str(error))
            return ReleaseResult.FAILED
        for line in release_lines(release):
            log_change(line)
        results = results_of(release)
        for result in results:
            keeper_metrics.QUARANTINE_RELEASES.child(result).inc()
        return max(results, key=[*ReleaseResult].index)


def _cleared(store: Store, areas: Sequence[str]) -> Iterator[str]:
    for area in areas:
        after = ""
        while page := store.rows(Selection(area=area, state=State.CLEARED), _PAGE, after):
            yield from (row.id for row in page)
            after = page[-1].id


def resumed(standing: Standing) -> Order | None:
    """The order that sends an interrupted release again; None if there is none."""
    recipients = tuple(one for one, state in standing.states.items() if state is State.RELEASING)
    if not recipients:
        return None
    begun = next(event for event in reversed(standing.events) if event.state is State.RELEASING)
    infected = standing.scan[0] is Outcome.INFECTED  # whoever began it was allowed to
    return Order("keeper", recipients, infected=infected, reason=begun.reason or _UNFINISHED)


def results_of(release: Release) -> list[ReleaseResult]:
    """The result for each queue ID and each reply of a release."""
    return [_result(queue_id, reply) for queue_id, reply in release.by_reply()]


def _result(queue_id: str, reply: str) -> ReleaseResult:
    if queue_id:
        return ReleaseResult.RELEASED
    return {"4": ReleaseResult.TEMPFAILED, "5": ReleaseResult.REJECTED}.get(reply[:1], ReleaseResult.UNREACHABLE)
