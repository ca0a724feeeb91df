"""Compares the index with the files and makes it what they say: `miltscan quarantine check`, and a new index.

Files and rows come in the order of their IDs, a folder and a page at a time: neither is in memory as a whole.
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.entry import Entry, Standing, day_of, is_entry_id
from miltscan.quarantine.files import Files
from miltscan.quarantine.index import EntryIndex
from miltscan.quarantine.record import read_header
from miltscan.quarantine.tables import Stored
from miltscan.quarantine.writing import FILE_MODE

Progress = Callable[[int, int], None]
"""Receives the number of entries so far, and of all."""
_BATCH = 500  # entries in one transaction
_OLD = 3600  # seconds: no put takes that long


@dataclass(slots=True)
class CheckReport:
    """The result: entries, rows that were added, changed and removed, and the files in question.

    `broken` are files that are not as they were stored, each with the reason; `leftovers` of killed processes were
    removed; miltscan did not write the `foreign` ones, and leaves them alone.
    """

    entries: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    broken: list[tuple[Path, str]] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)


def reconcile(files: Files, index: EntryIndex, progress: Progress, *, digests: bool) -> CheckReport:
    """Make the index what the files say. With `digests` every byte of every file is read. Raises StoreError."""
    report = CheckReport()
    try:
        days = {day: _ids(files.directory / day, ".entry") for day in files.days()}
        total = sum(map(len, days.values()))
        progress(0, total)
        comparison = _Comparison(files, index, report, digests=digests)
        for day, ids in days.items():
            states = set(_ids(files.directory / day, ".state"))
            for entry_id in ids:
                comparison.entry(entry_id, has_state=entry_id in states)
                if report.entries % _BATCH == 0:
                    progress(report.entries, total)
            _tidy(files, day, report)
        comparison.finish()
        _tidy_new(files, report)
    except OSError as error:
        raise StoreError(f"quarantine {files.directory}: {os.strerror(error.errno or 0)}") from error
    progress(total, total)
    return report


class _Comparison:
    """Goes through files and rows in the order of their IDs, and writes to the index in batches."""

    def __init__(self, files: Files, index: EntryIndex, report: CheckReport, *, digests: bool) -> None:
        self._files, self._index, self._report, self._digests = files, index, report, digests
        self._owner = files.directory.stat().st_uid
        self._rows = (row for page in index.pages() for row in page.items())
        self._row = next(self._rows, None)
        self._new: list[Stored] = []
        self._stale: list[Stored] = []
        self._gone: list[str] = []

    def entry(self, entry_id: str, *, has_state: bool) -> None:
        """Compare the next entry with its row."""
        events = self._events_in_row(entry_id)
        self._report.entries += 1
        if events == 0 and not (self._digests or has_state):
            return
        stored = self._read(entry_id, has_state=has_state)
        if stored is None:
            return
        if events is None:
            self._new.append(stored)
        elif len(stored.standing.events) != events:
            self._stale.append(stored)
        if len(self._new) + len(self._stale) >= _BATCH:
            self._write()

    def finish(self) -> None:
        """Drop the rows behind the last file, and write what is left."""
        while self._row is not None:
            self._drop(self._row[0])
        self._write()

    def _events_in_row(self, entry_id: str) -> int | None:
        """The number of events that the row of this entry shows; None if there is no row."""
        while self._row is not None and self._row[0] < entry_id:
            self._drop(self._row[0])
        if self._row is None or self._row[0] != entry_id:
            return None
        events = self._row[1]
        self._row = next(self._rows, None)
        return events

    def _drop(self, entry_id: str) -> None:
        """The row has no file, unless the file is newer than the list of the folder."""
        if not self._files.exists(entry_id):
            self._gone.append(entry_id)
        self._row = next(self._rows, None)

    def _write(self) -> None:
        saved = [*self._new, *self._stale]
        self._index.save(saved)
        for standing in (one.standing for one in saved):
            # what has changed since it was read may have had a newer row: the index looks at it again
            if len(self._files.events(standing.entry.id)) != len(standing.events):
                self._files.mark(standing.entry.id)
        self._index.forget(self._gone)
        self._report.added += len(self._new)
        self._report.changed += len(self._stale)
        self._report.removed += len(self._gone)
        self._new, self._stale, self._gone = [], [], []

    def _read(self, entry_id: str, *, has_state: bool) -> Stored | None:
        """The entry from its file; None if it is broken, or was deleted meanwhile."""
        path = f"{self._files.directory}/{day_of(entry_id)}/{entry_id}.entry"
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - a Path for each of many costs more than reading it
                status = os.fstat(file.fileno())
                entry = read_header(file)
                if entry.id != entry_id:
                    raise EntryError(f"describes entry {entry.id}")  # noqa: TRY301 - as other damages
                if self._digests:
                    _check_content(entry, file, status.st_size - file.tell())
            events = self._files.events(entry_id) if has_state else ()
        except (EntryError, OSError) as error:
            if self._files.exists(entry_id):
                reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
                self._report.broken.append((Path(path), reason))
            return None
        self._check_rights(path, status)
        return Stored(Standing(entry, events), status.st_size)

    def _check_rights(self, path: str, status: os.stat_result) -> None:
        mode = stat.S_IMODE(status.st_mode)
        if status.st_uid != self._owner:
            self._report.broken.append(
                (Path(path), f"belongs to user {status.st_uid} instead of {self._owner}: use chown")
            )
        elif mode & ~FILE_MODE:
            self._report.broken.append((Path(path), f"has mode {mode:04o} instead of 0600: use chmod"))


def _check_content(entry: Entry, file: BufferedReader, size: int) -> None:
    """The rest of the file has the bytes that were put, whether encrypted or not. Raises EntryError."""
    if size != entry.kept_size:
        raise EntryError(f"has {size} bytes of the message instead of {entry.kept_size}")
    if hashlib.file_digest(file, "sha256").hexdigest() != entry.kept_digest:
        raise EntryError("the message has another SHA-256 than when it was stored")


def _ids(folder: Path, suffix: str) -> list[str]:
    """The IDs in the folder of a day, sorted; without the folder there are none."""
    with suppress(FileNotFoundError):
        names = [name.removesuffix(suffix) for name in os.listdir(folder) if name.endswith(suffix)]  # noqa: PTH208 - a path for each costs more than the rest
        return sorted(name for name in names if is_entry_id(name) and day_of(name) == folder.name)
    return []


def _tidy(files: Files, day: str, report: CheckReport) -> None:
    """Remove what a deletion left, and folders that are empty; note what is not ours."""
    folder = files.directory / day
    for name in os.listdir(folder):  # noqa: PTH208 - a Path for each of many costs more than the rest
        entry_id, _, suffix = name.partition(".")
        if suffix not in {"entry", "state"} or not is_entry_id(entry_id) or day_of(entry_id) != day:
            report.foreign.append(folder / name)
        elif suffix == "state" and not files.exists(entry_id):
            (folder / name).unlink(missing_ok=True)
            report.leftovers.append(folder / name)
    with suppress(OSError):  # not empty
        folder.rmdir()


def _tidy_new(files: Files, report: CheckReport) -> None:
    """Remove what a killed put left where the file system has no unnamed files."""
    for path in files.new.iterdir() if files.new.exists() else ():
        if path.name.endswith(".entry.tmp") and is_entry_id(path.name[: -len(".entry.tmp")]):
            if path.stat().st_mtime < time.time() - _OLD:
                path.unlink(missing_ok=True)
                report.leftovers.append(path)
        elif not (path.suffix in {".entry", ".changed"} and is_entry_id(path.stem)):
            report.foreign.append(path)
