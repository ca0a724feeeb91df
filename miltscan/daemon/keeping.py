"""What the keeper does in its first thread: index rows, expiry, and the metrics of the quarantine. It sends no mail.

A database that is down, locked or damaged is logged once and tried again. The files do not need it: what waits for the
index is counted, and nothing is lost.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miltscan.config.keyfile import Loaded
from miltscan.config.settings import Settings
from miltscan.errors import StoreError
from miltscan.quarantine.audit import AuditLine, expiry_line
from miltscan.quarantine.encoder import identities
from miltscan.quarantine.entry import State
from miltscan.quarantine.files import Files
from miltscan.quarantine.ledger import CopyLedger
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.store import Store
from miltscan.scanning.entries import retentions
from miltscan.telemetry import keeper_metrics, log

if TYPE_CHECKING:
    from miltscan.quarantine.retention import Retention

_POLL = 0.5  # seconds between two looks at what waits: a list of an empty folder costs microseconds
_RETRY = 5.0  # seconds until a database that failed is tried again
_BATCH = 500  # entries in one transaction, for which other processes wait
_MEASURE = 5.0  # seconds between two measurements, or the time of one times _SHARE
_SHARE = 50
_EXPIRE = 60.0  # seconds between two looks for what exceeds the bounds of its area
_EXPIRED_AT_ONCE = 100  # entries
_JUMP = 3600.0  # seconds by which the clock is set ahead that stop the expiry
_TRUST = 86400.0  # seconds after which the clock is believed
_BREATH = 0.2  # seconds between two batches of deletions, in which others may write

Current = Callable[[], Loaded]
"""Returns the settings and keys in force."""


class Stores:
    """Makes the store of the settings in force, for one thread; it is made again after a reload of its areas."""

    def __init__(self, current: Current) -> None:
        self._current = current
        self._made: tuple[dict[str, Retention], Store] | None = None

    def get(self) -> Store:
        """The store."""
        settings = self._current().settings
        areas = retentions(settings)
        if self._made is None or self._made[0] != areas:
            if self._made is not None:
                self._made[1].close()
            chosen = settings.quarantine
            self._made = areas, Store(Path(chosen.directory), chosen.index, areas, _warn)
        return self._made[1]


def identities_of(settings: Settings) -> list[Any]:
    """The private keys for encrypted entries; none without `quarantine.identity`. Raises StoreError."""
    file = settings.quarantine.identity
    if not file:
        return []
    try:
        text = Path(file).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise StoreError(f"quarantine.identity {file}: {error.strerror}") from error
    return identities(text, file)


class Health:
    """Logs once that a kind of work fails, and once that it works again."""

    def __init__(self, work: str) -> None:
        self._work = work
        self._why = ""

    def fails(self, why: str) -> None:
        """Log why, unless it failed for the same reason before."""
        if why != self._why:
            log.logger().error("keeper_fails", work=self._work, why=why)
        self._why = why

    def works(self) -> None:
        """Log it if it failed before."""
        if self._why:
            log.logger().info("keeper_works", work=self._work)
        self._why = ""


class ClockWatch:
    """Knows whether the clock was set ahead: then all messages look old, and a deletion is final.

    After `_TRUST` seconds it is believed, as an administrator may have set it right.
    """

    def __init__(self) -> None:
        self._set_to: float | None = None  # the time (epoch) at the boot of the host, by the clock
        self._ahead_since: float | None = None

    def is_ahead(self, now: float, running: float) -> bool:
        """Whether the clock jumped; `now` is what it shows (epoch), `running` are the seconds since the boot."""
        set_to = now - running
        if self._set_to is None or set_to < self._set_to + _JUMP:
            self._set_to, self._ahead_since = set_to, None
            return False
        if self._ahead_since is None:
            self._ahead_since = running
        if running < self._ahead_since + _TRUST:
            return True
        self._set_to, self._ahead_since = set_to, None
        return False


class Keeping:
    """The index, the expiry and the metrics of the quarantine `files`."""

    def __init__(self, current: Current, files: Files) -> None:
        self._current = current
        self._files = files
        self._copies = CopyLedger(files.directory)
        self._indexing, self._expiring = Stores(current), Stores(current)
        self._index_health, self._expiry_health = Health("index"), Health("expire")
        self._clock = ClockWatch()
        self._measured = 0.0
        self._areas: set[str] = set()

    def round(self) -> float:
        """Put what waits into the index, and measure; return the seconds until the next round."""
        try:
            moved = self._indexing.get().index_waiting(_BATCH)
            self._measure()
        except StoreError as error:
            self.fails(str(error))
            return _RETRY
        self._index_health.works()
        keeper_metrics.KEEPER_LAST_ROUND.child().set(time.time())
        if moved >= _BATCH:  # there is more, which `_measure` counts
            return 0.0
        self._count_waiting()
        return _POLL

    def fails(self, why: str) -> None:
        """Record that the folder or the index cannot be used."""
        self._index_health.fails(why)
        self._count_waiting()

    def waits(self) -> None:
        """Record that the keeper of another service has the folder: it measures, and this one is well."""
        for family in (*_OF_AREAS, keeper_metrics.QUARANTINE_UNINDEXED):
            family.forget_all()
        keeper_metrics.KEEPER_LAST_ROUND.child().set(time.time())

    def expire(self) -> float:
        """Delete what exceeds the bounds of its area, in batches, and what was remembered of copies long enough.

        Returns the seconds until the next look.
        """
        now = time.time()
        if self._clock.is_ahead(now, time.clock_gettime(time.CLOCK_BOOTTIME)):
            self._expiry_health.fails("the clock was set ahead by more than an hour: nothing is deleted for a day")
            return _EXPIRE
        try:
            gone = self._expiring.get().expire(now, _EXPIRED_AT_ONCE)
            self._copies.prune(now)
        except StoreError as error:
            self._expiry_health.fails(str(error))
            return _EXPIRE
        self._expiry_health.works()
        keeper_metrics.QUARANTINE_EXPIRED.child().inc(len(gone))
        for one in gone:
            log_change(expiry_line(one))
        return _BREATH if len(gone) >= _EXPIRED_AT_ONCE else _EXPIRE

    def _count_waiting(self) -> None:
        try:
            waiting = len(os.listdir(self._files.new))  # noqa: PTH208 - a path for each of many files costs more
        except OSError:  # which the next round reports
            return
        keeper_metrics.QUARANTINE_UNINDEXED.child().set(waiting)

    def _measure(self) -> None:
        """Set the gauges of areas and disk, if they are old. Counting 100,000 entries takes a tenth of a second."""
        began = time.monotonic()
        if began < self._measured:
            return
        store = self._indexing.get()
        totals = store.totals()
        areas = {*self._current().settings.quarantine.areas, *(one.area for one in totals)}
        for area in self._areas - areas:
            for family in _OF_AREAS:
                family.forget(area)
        self._areas = areas
        for area in areas:
            keeper_metrics.QUARANTINE_ENTRIES.child(area).set(0)
            keeper_metrics.QUARANTINE_BYTES.child(area).set(0)
        for one in totals:
            keeper_metrics.QUARANTINE_ENTRIES.child(one.area).set(one.entries)
            keeper_metrics.QUARANTINE_BYTES.child(one.area).set(one.bytes)
            keeper_metrics.QUARANTINE_OLDEST.child(one.area).set(one.oldest)
        for area in areas - {one.area for one in totals}:
            keeper_metrics.QUARANTINE_OLDEST.forget(area)
        for area in areas:
            cleared = store.count(Selection(area=area, state=State.CLEARED))
            keeper_metrics.QUARANTINE_CLEARED.child(area).set(cleared)
        self._measure_disk()
        self._count_waiting()
        now = time.monotonic()
        self._measured = now + max(_MEASURE, _SHARE * (now - began))

    def _measure_disk(self) -> None:
        try:
            space = os.statvfs(self._files.directory)
        except OSError:  # the folder was removed, which the next put reports
            return
        keeper_metrics.QUARANTINE_DISK_BYTES.child().set(space.f_blocks * space.f_frsize)
        keeper_metrics.QUARANTINE_FREE_BYTES.child().set(space.f_bavail * space.f_frsize)


_OF_AREAS = (
    keeper_metrics.QUARANTINE_ENTRIES,
    keeper_metrics.QUARANTINE_BYTES,
    keeper_metrics.QUARANTINE_OLDEST,
    keeper_metrics.QUARANTINE_CLEARED,
)


def log_change(line: AuditLine) -> None:
    """Write a line about a change to the log of the service, where commands write theirs to syslog."""
    getattr(log.logger(), line.level)(line.event, **line.fields)


def _warn(line: str) -> None:
    log.logger().warning("store_warning", why=line)
