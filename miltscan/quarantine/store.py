"""The store: files and index together, for the keeper and for commands. Workers use `files` alone.

The store repairs its index: one that is missing, damaged or of another version is made again from the files, by one
process at a time. A damaged SQLite file is moved aside.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from miltscan.errors import CorruptIndexError, EntryError, StoreError
from miltscan.quarantine.check import CheckReport, Progress, reconcile
from miltscan.quarantine.entry import Event, Standing, day_of, is_entry_id, is_prefix
from miltscan.quarantine.files import Files
from miltscan.quarantine.index import AreaTotals, EntryIndex, StateTotals
from miltscan.quarantine.retention import KEEP, Expired, Retention, expired
from miltscan.quarantine.selection import EVERYTHING, Selection
from miltscan.quarantine.tables import Row, Stored
from miltscan.quarantine.writing import FILE_MODE

Result = TypeVar("Result")
_BATCH = 500  # entries in one transaction
_CANDIDATES = 5  # IDs in an error


def _quiet(*_: object) -> None:
    """Report nothing."""


class Store:
    """The quarantine in `directory` with its index at `url` ("" is SQLite in the folder) and its `areas`.

    `report` receives a line when the store repaired something or cannot read a file, `progress` how far it is with a
    new index. Nothing is opened before the first use.
    """

    def __init__(
        self,
        directory: Path,
        url: str = "",
        areas: Mapping[str, Retention] | None = None,
        report: Callable[[str], None] = _quiet,
        progress: Progress = _quiet,
    ) -> None:
        self.files = Files(directory)
        self._index = EntryIndex(url or f"sqlite:///{directory}/index.sqlite")
        self._areas = areas or {}
        self._report, self._progress = report, progress
        self._verified = False
        self._waiting: list[str] = []

    def close(self) -> None:
        """Close the connections to the index."""
        self._index.close()

    def refresh(self) -> int:
        """Put everything that waits into the index, and return the number. Raises StoreError."""
        total = 0
        while number := self.index_waiting(_BATCH):
            total += number
        return total

    def index_waiting(self, limit: int) -> int:
        """Put at most `limit` waiting entries and changes into the index; return their number. Raises StoreError."""
        self._waiting = self._waiting or self.files.waiting()  # used up before the next list, which may be long
        batch = self._waiting[:limit]
        if batch:
            self._write(batch)
            del self._waiting[: len(batch)]
        return len(batch)

    def unindexed(self) -> int:
        """The number of entries and changes that wait for the index. Raises StoreError."""
        return len(self.files.waiting())

    def rows(self, wanted: Selection = EVERYTHING, limit: int = 50, after: str = "") -> list[Row]:
        """At most `limit` entries, newest first, older than the ID `after`. Raises StoreError."""
        return self._ask(lambda index: index.rows(wanted, limit, after))

    def count(self, wanted: Selection = EVERYTHING) -> int:
        """The number of entries. Raises StoreError."""
        return self._ask(lambda index: index.count(wanted))

    def addressees(self, wanted: Selection, areas: Iterable[str], directions: Iterable[str]) -> dict[str, int]:
        """The number of entries of each recipient (in lower case), in these areas and directions, without duplicates.

        A duplicate is the second copy of a message that its client has sent again. Raises StoreError.
        """
        return self._ask(lambda index: index.addressees(wanted, areas, directions))

    def counts(self, wanted: Selection) -> dict[str, int]:
        """The number of entries in each area, without duplicates. Raises StoreError."""
        return self._ask(lambda index: index.counts(wanted))

    def totals(self) -> list[AreaTotals]:
        """Number, bytes and age of the entries of each area that has any. Raises StoreError."""
        return self._ask(EntryIndex.totals)

    def states(self) -> list[StateTotals]:
        """The entries of each area and state that has any. Raises StoreError."""
        return self._ask(EntryIndex.states)

    def find(self, prefix: str) -> str:
        """The ID of the only entry whose ID begins with `prefix`; a whole ID needs no index.

        Raises EntryError if there is none or several, StoreError.
        """
        prefix = prefix.lower()
        if is_entry_id(prefix) or not is_prefix(prefix):
            self.files.find(prefix)
            return prefix
        found = self._ask(lambda index: index.beginning_with(prefix, _CANDIDATES + 1))
        if not found:
            raise EntryError(f"no entry in the quarantine {self.files.directory} begins with {prefix!r}")
        if len(found) > 1:
            shown = ", ".join(found[:_CANDIDATES]) + " and others" * (len(found) > _CANDIDATES)
            raise EntryError(f"several entries begin with {prefix!r}: {shown}")
        return found[0]

    def record(self, entry_id: str, event: Event) -> None:
        """Add the event to the entry's file, then to the index, which may follow later.

        Raises EntryError, StoreError.
        """
        self.files.record(entry_id, event)
        self._later(lambda: self._write([entry_id]))

    def delete(self, entry_id: str) -> bool:
        """Delete an entry; False if another process releases it just now. Raises EntryError, StoreError."""
        with self.files.claim(entry_id) as claimed:
            if claimed:
                with suppress(StoreError):  # a disk that is full: then all the more
                    self.files.mark(entry_id)  # its row goes, too, if this process is killed, or the index fails
                self.files.delete(entry_id)
        if claimed:
            self._later(lambda: self._write([entry_id]))
        return claimed

    def expire(self, now: float, limit: int = _BATCH) -> list[Expired]:
        """Delete at most `limit` entries that exceed a bound of their area, and return them; none in release.

        An area that is not configured has the bounds of the area `default`. Raises StoreError.
        """
        found: list[Expired] = []
        for area in self.totals():
            retention = self._areas.get(area.area, self._areas.get("default", KEEP))
            rest = limit - len(found)
            oldest = self._ask(lambda index, area=area, rest=rest: index.oldest(area.area, rest))  # type: ignore[misc]
            found += expired(area.area, (area.entries, area.bytes), oldest, retention, now)
        gone = [one for one in found if self._expire(one.id)]
        self._ask(lambda index: index.forget([one.id for one in gone]))
        for day in {day_of(one.id) for one in gone}:
            with suppress(OSError):  # not empty
                (self.files.directory / day).rmdir()
        return gone

    def check(self, progress: Progress = _quiet, *, digests: bool = True) -> CheckReport:
        """Compare files and index, and make the index what the files say. With `digests` all bytes are read.

        Raises StoreError.
        """
        self._ask(EntryIndex.verify)
        self.refresh()
        with self._alone():
            return reconcile(self.files, self._index, progress, digests=digests)

    def _write(self, entry_ids: Sequence[str]) -> None:
        """Write the rows of entries from their files, then move the files to their days.

        What changes between reading and writing is written again: whoever writes last has looked last.
        """
        while entry_ids:
            found, missing = self._read(entry_ids)
            self._ask(lambda index, found=found: index.save(found))  # type: ignore[misc]
            self._ask(lambda index, missing=missing: index.forget(missing))  # type: ignore[misc]
            self.files.settle(one.standing for one in found)
            for entry_id in missing:
                self.files.delete(entry_id)
                self.files.unmark(entry_id)
            entry_ids = [one.standing.entry.id for one in found if self._has_changed(one.standing)]

    def _read(self, entry_ids: Sequence[str]) -> tuple[list[Stored], list[str]]:
        """The entries, and the IDs of those that do not exist. Broken ones are reported, and then left to `check`."""
        found, missing = [], []
        for entry_id in entry_ids:
            try:
                found.append(Stored(self.files.read(entry_id), self.files.size(entry_id)))
            except EntryError as error:
                if self.files.exists(entry_id):
                    self._report(str(error))
                    self.files.move(entry_id)
                    self.files.unmark(entry_id)
                else:
                    missing.append(entry_id)
        return found, missing

    def _has_changed(self, standing: Standing) -> bool:
        try:
            events = len(self.files.events(standing.entry.id))
            return events != len(standing.events) or not self.files.exists(standing.entry.id)
        except EntryError:
            return True

    def _expire(self, entry_id: str) -> bool:
        try:
            with self.files.claim(entry_id) as claimed:
                if claimed:
                    self.files.delete(entry_id)
                return claimed
        except EntryError:  # a row without a file, or a file that nobody can read, and so nobody releases
            self.files.delete(entry_id)
            return True

    def _later(self, change: Callable[[], object]) -> None:
        """Change the index, which may fail: the files are right, and the index follows them."""
        try:
            change()
        except StoreError as error:
            self._report(f"{error}. The index will follow later.")

    def _ask(self, call: Callable[[EntryIndex], Result]) -> Result:
        """The answer of the index, which is repaired before if it must be."""
        try:
            if not self._verified:
                self._index.verify()
                self._verified = True
            return call(self._index)
        except CorruptIndexError as error:
            self._repair(str(error))
            return call(self._index)

    def _repair(self, reason: str) -> None:
        """Make the index again from the files, unless another process has done so meanwhile."""
        self.files.prepare()
        with self._alone():
            aside = self._index.move_damaged(time.time())
            try:
                self._index.verify()
            except CorruptIndexError:
                self._index.create()
                report = reconcile(self.files, self._index, self._progress, digests=False)
                self._index.complete()
                if aside or report.entries:
                    kept = f" The damaged file is now {aside}." if aside else ""
                    self._report(f"{reason}. The index was made again from {report.entries} entries.{kept}")
        self._verified = True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock for work on the whole index."""
        try:
            lock = os.open(self.files.directory / "index.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            raise StoreError(f"quarantine {self.files.directory}: {os.strerror(error.errno or 0)}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
