"""Scans stored messages again after an update of the signatures, in the keeper: one at a time, at low priority.

clamd serves mail first: after each scan the thread rests as long as the scan took, so that it uses no more than half of
one of clamd's threads. A message at which an engine fails waits longer and longer: it may be what ends the engine.
"""

import time
from collections import Counter
from collections.abc import Callable
from threading import Event
from typing import Any

from miltscan.config.settings import Settings
from miltscan.core.report import Report
from miltscan.core.rescan import RescanResult
from miltscan.core.verdict import Limit
from miltscan.daemon.keeping import Current, Health, Stores, identities_of
from miltscan.errors import EntryError, MiltscanError, StoreError
from miltscan.quarantine.rescan import Rescanned, due, rescan
from miltscan.quarantine.store import Store
from miltscan.scanning.rescanner import Rescanner
from miltscan.telemetry import keeper_metrics, log

_LONGEST = 60.0  # seconds between two looks at the version of the signatures
_AGAIN = 600.0  # seconds until entries are looked for although the version is the same: some came since, or failed
_SHORTEST_REST = 0.05  # seconds after a scan
_FAILURES = 3  # in a row, after which the engines are tested again before the next scan
_LONGEST_PAUSE = 86400.0  # seconds until a message is tried again at which an engine failed
_REMEMBERED = 10_000  # messages at which engines failed


class Rescans:
    """The rescans of a service. It keeps its engines until a reload changes the settings.

    `detected` receives the report and the queue ID of a message in which something else is found than before.
    """

    def __init__(self, current: Current, detected: Callable[[Report, str], None]) -> None:
        self._current = current
        self._detected = detected
        self._stores = Stores(current)
        self._health = Health("rescan")
        self._ended = Event()
        self._made: tuple[Settings, Rescanner] | None = None
        self._finished: tuple[frozenset[int], float] = (frozenset(), 0.0)
        self._failed: dict[str, tuple[float, float]] = {}  # when to try again, and the pause after the next failure

    def end(self) -> None:
        """End after the scan under way."""
        self._ended.set()

    def run(self) -> float:
        """Scan what is due; return the seconds until the next look at the signatures."""
        settings = self._current().settings
        pause = min(_LONGEST, *(engine.canary_interval for engine in settings.engines))
        if settings.quarantine.rescan:
            try:
                self._look(settings)
            except StoreError as error:
                self._health.fails(str(error))
            else:
                self._health.works()
        return pause

    def _look(self, settings: Settings) -> None:
        """Scan what is due if the signatures have changed since the last pass, or if that is long ago."""
        store = self._stores.get()
        if not store.rows(limit=1):  # nothing to scan: the engines are left alone
            return
        scanner = self._scanner(settings)
        versions = frozenset(scanner.look())
        before, began = self._finished
        now = time.monotonic()
        if not versions or (versions == before and now - began < _AGAIN):
            return
        counts: Counter[RescanResult] = Counter()
        if self._pass(store, scanner, versions, counts):
            self._finished = versions, now
        if counts:
            log.logger().info(
                "rescanned",
                signatures=max(versions),
                cleared=counts[RescanResult.CLEARED],
                detected=counts[RescanResult.DETECTED],
                renamed=counts[RescanResult.RENAMED],
                unscanned=counts[RescanResult.UNSCANNED],
                failed=counts[RescanResult.FAILED],
            )

    def _pass(
        self, store: Store, scanner: Rescanner, versions: frozenset[int], counts: "Counter[RescanResult]"
    ) -> bool:
        """Scan all that is due; False if the rest has to wait: for a stop, a reload, or an engine that is down."""
        loaded, failures = self._current(), 0
        chosen = loaded.settings.quarantine
        keys = identities_of(loaded.settings)
        closed = set() if keys else {name for name, area in chosen.areas.items() if area.encrypt_to}
        for row in due(store, versions):
            if self._ended.is_set() or self._current() is not loaded or failures >= _FAILURES:
                return False
            if row.area in closed or self._failed.get(row.id, (0.0, 0.0))[0] > time.monotonic():
                continue
            began = time.monotonic()
            done = self._scan(store, row.id, scanner, keys)
            if done is None:
                continue
            if done.report.verdict.reason is Limit.NO_ENGINE:
                return False
            counts[done.result] += 1
            failures = failures + 1 if done.result is RescanResult.FAILED else 0
            self._ended.wait(max(_SHORTEST_REST, time.monotonic() - began))
        return True

    def _scan(self, store: Store, entry_id: str, scanner: Rescanner, keys: list[Any]) -> Rescanned | None:
        """Scan one entry and record what follows; None if it cannot be read, or not now."""
        try:
            done = rescan(store, entry_id, scanner, by="keeper", keys=keys)
        except StoreError:
            raise
        except (
            EntryError,
            MiltscanError,
            OSError,
        ) as error:  # deleted meanwhile, encrypted, damaged; the spool is full
            log.logger().debug("rescan_skipped", entry=entry_id, why=str(error))
            self._put_off(entry_id)
            return None
        keeper_metrics.QUARANTINE_RESCANS.child(done.result).inc()
        if done.result is RescanResult.FAILED:
            if done.report.verdict.reason is not Limit.NO_ENGINE:
                self._put_off(entry_id)
        else:
            self._failed.pop(entry_id, None)
        if done.result is RescanResult.RENAMED:
            self._detected(done.report, done.entry.queue_id)
        if done.result is RescanResult.CLEARED:
            entry, (_, signature) = done.entry, done.before
            log.logger().info(
                "entry_cleared", queue_id=entry.queue_id, entry=entry.id, area=entry.area, signature=signature
            )
        return done

    def _put_off(self, entry_id: str) -> None:
        _, pause = self._failed.get(entry_id, (0.0, _AGAIN))
        if len(self._failed) >= _REMEMBERED:
            self._failed.pop(next(iter(self._failed)))
        self._failed[entry_id] = time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE)

    def _scanner(self, settings: Settings) -> Rescanner:
        if self._made is None or self._made[0] is not settings:
            self._made = settings, Rescanner(settings)
        return self._made[1]
