"""The files of the quarantine, which are the truth: writes an entry durably, finds, reads, claims and deletes it.

    DIRECTORY/new/ID.entry            stored, and not yet in the index
    DIRECTORY/new/ID.changed          its state has changed, and the index may not show it yet
    DIRECTORY/YYYY-MM-DD/ID.entry     the same file, in the index; the day (UTC) follows from the ID
    DIRECTORY/YYYY-MM-DD/ID.state     what happened to it: a line for each event, only ever appended to

A worker calls `put` only, and mail depends on nothing else: no database, no lock, no other process. An entry has no
name before it is complete and on disk. A lock (flock) on its file is the claim of a release or deletion: it ends with
the process that holds it.
"""

import errno
import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.encoder import PLAIN, Encoder, decoded
from miltscan.quarantine.entry import Entry, Event, Standing, day_of, is_entry_id, new_id
from miltscan.quarantine.record import event_line, read_events, read_header
from miltscan.quarantine.writing import FILE_MODE, UnlinkedFile, append, locked, sync, write_entry

FOLDER_MODE = 0o700
_OF_ONE_FILE = (errno.EACCES, errno.EPERM, errno.EIO, errno.EISDIR, errno.ELOOP)
"""What open(2) and read(2) report for a file of another user, as after a restore, or on a damaged disk."""


class Files:
    """The folder `directory`, which the first `put` makes if it is missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.new = directory / "new"

    def prepare(self) -> None:
        """Make the folders that are missing. Raises StoreError."""
        with self._failing():
            if not self.directory.exists():
                self.directory.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                sync(self.directory.parent)
            self.new.mkdir(mode=FOLDER_MODE, exist_ok=True)
            sync(self.directory)

    def put(self, entry: Entry, message: int, offset: int = 0, encoder: Encoder = PLAIN) -> Entry:
        """Store the message, which `message` (a descriptor) has from `offset` on; return its entry, complete.

        When this returns, the entry survives a power loss: the file and the name are on disk. Raises StoreError; then
        there is no entry, and the client still owns the message.
        """
        entry = replace(entry, id=new_id(entry.time, os.urandom(7)), encoding=encoder.encoding)
        with self._failing():
            try:
                return self._put(entry, message, offset, encoder)
            except FileNotFoundError:
                self.prepare()
                return self._put(entry, message, offset, encoder)

    def _put(self, entry: Entry, message: int, offset: int, encoder: Encoder) -> Entry:
        folder = os.open(self.new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with UnlinkedFile(folder, f"{entry.id}.entry") as file:
                entry = write_entry(file.descriptor, entry, message, offset, encoder)
                os.fsync(file.descriptor)
                file.link()
            try:
                os.fsync(folder)
            except OSError:  # the client receives 451 and keeps the message
                os.unlink(f"{entry.id}.entry", dir_fd=folder)
                raise
        finally:
            os.close(folder)
        return entry

    def read(self, entry_id: str) -> Standing:
        """The entry and its events. Raises EntryError, StoreError."""
        with closing(self._open(entry_id)) as file:
            entry = self._header(entry_id, file)
        return Standing(entry, self.events(entry_id))

    def events(self, entry_id: str) -> tuple[Event, ...]:
        """The events of the entry; none if it has no state file. Raises EntryError, StoreError."""
        with self._failing(), self._readable(entry_id):
            try:
                return read_events(self._state(entry_id).read_bytes().splitlines())
            except FileNotFoundError:
                return ()

    @contextmanager
    def message(self, entry_id: str, keys: Sequence[Any] = ()) -> Iterator[BinaryIO]:
        """The message as received: a file of its own, checked before. `keys` are from `encoder.identities`.

        Raises EntryError, StoreError.
        """
        with closing(self._open(entry_id)) as file:
            entry = self._header(entry_id, file)
            with self._naming(entry_id):
                plain = decoded(entry, file, keys)
        with plain:
            yield plain

    def record(self, entry_id: str, event: Event) -> None:
        """Append the event, durably. Raises EntryError if there is no such entry, and StoreError."""
        self.find(entry_id)
        path = self._state(entry_id)
        with self._failing():
            path.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
            with locked(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
                self.mark(entry_id)
                append(descriptor, event_line(event))
            sync(path.parent)

    @contextmanager
    def claim(self, entry_id: str) -> Iterator[bool]:
        """Hold the entry for a release or deletion; False if another process does. Raises EntryError, StoreError.

        The claim ends with the block, or with the process.
        """
        while True:
            file = self._open(entry_id, "r+b")
            with closing(file):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                if os.fstat(file.fileno()).st_nlink:  # it may have been deleted before the lock was ours
                    yield True
                    return

    def delete(self, entry_id: str) -> int:
        """Delete the files of an entry that was claimed, and return the bytes that this frees, 0 if it is gone already.

        A mark stays, until the index no longer has the entry. Raises StoreError.
        """
        freed = 0
        with self._failing():
            for path in (*self._places(entry_id), self._state(entry_id)):
                with suppress(FileNotFoundError):
                    size = path.stat().st_size
                    path.unlink()
                    freed += size
        return freed

    def find(self, entry_id: str) -> Path:
        """The file of the entry. Raises EntryError if there is none, StoreError."""
        places: tuple[Path, ...] = self._places(entry_id) if is_entry_id(entry_id) else ()
        with self._failing():
            for path in (*places, *places):  # if it is moved in between, it is where the first look was
                if path.exists():
                    return path
        raise EntryError(f"no entry {entry_id[:40]!r} in the quarantine {self.directory}")

    def exists(self, entry_id: str) -> bool:
        """Whether there is such an entry. Raises StoreError."""
        try:
            return bool(self.find(entry_id))
        except EntryError:
            return False

    def size(self, entry_id: str) -> int:
        """The bytes of the entry's file. Raises EntryError, StoreError."""
        with closing(self._open(entry_id)) as file:
            return os.fstat(file.fileno()).st_size

    def waiting(self) -> list[str]:
        """The IDs that the index may not know, or not with their state, sorted. Raises StoreError."""
        with self._failing():
            try:
                names = os.listdir(self.new)  # noqa: PTH208 - the keeper asks often, and a path for each costs more
            except FileNotFoundError:
                return []
        found = {name.rpartition(".")[0] for name in names if name.endswith((".entry", ".changed"))}
        return sorted(filter(is_entry_id, found))

    def settle(self, standings: Iterable[Standing]) -> None:
        """Move entries that are in the index, as these standings, to the folders of their days. Raises StoreError."""
        with self._failing():
            for entry, events in standings:
                self._unmark(entry.id, len(events))
                self.move(entry.id)

    def move(self, entry_id: str) -> None:
        """Move an entry from `new` to the folder of its day. Raises StoreError."""
        target, source = self._places(entry_id)
        with self._failing():
            if source.exists():
                target.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
                with suppress(FileNotFoundError):  # another process was faster
                    source.rename(target)

    def mark(self, entry_id: str) -> None:
        """Note that the entry changes: the index must look at it again. Raises StoreError."""
        with self._failing():
            self.new.mkdir(mode=FOLDER_MODE, exist_ok=True)
            os.close(os.open(self._mark(entry_id), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))

    def unmark(self, entry_id: str) -> None:
        """Forget that the entry has changed. Raises StoreError."""
        with self._failing():
            self._mark(entry_id).unlink(missing_ok=True)

    def _unmark(self, entry_id: str, events: int) -> None:
        """The same, unless the entry has changed again since `events` events were read."""
        if not self._mark(entry_id).exists():
            return
        with suppress(FileNotFoundError), locked(self._state(entry_id), os.O_RDONLY):
            if len(self.events(entry_id)) == events:
                self._mark(entry_id).unlink()
                return
        if not self._state(entry_id).exists():  # deleted meanwhile
            self._mark(entry_id).unlink(missing_ok=True)

    def days(self) -> list[str]:
        """The names of the folders of days, sorted. Raises StoreError."""
        with self._failing():
            try:
                return sorted(path.name for path in self.directory.iterdir() if is_day(path.name))
            except FileNotFoundError:
                return []

    def ids(self, day: str) -> list[str]:
        """The IDs of the entries in the folder of a day, sorted. Raises StoreError."""
        with self._failing():
            try:
                paths = [path for path in (self.directory / day).iterdir() if path.suffix == ".entry"]
            except FileNotFoundError:
                return []
        found = (path.stem for path in paths)
        return sorted(one for one in found if is_entry_id(one))

    def _day(self, entry_id: str) -> Path:
        return self.directory / day_of(entry_id)

    def _places(self, entry_id: str) -> tuple[Path, Path]:
        name = f"{entry_id}.entry"
        return self._day(entry_id) / name, self.new / name

    def _state(self, entry_id: str) -> Path:
        return self._day(entry_id) / f"{entry_id}.state"

    def _mark(self, entry_id: str) -> Path:
        return self.new / f"{entry_id}.changed"

    def _open(self, entry_id: str, mode: str = "rb") -> BinaryIO:
        for _ in range(2):  # it may be deleted or settled after it was found
            path = self.find(entry_id)
            with self._failing(), self._readable(entry_id), suppress(FileNotFoundError):
                return cast("BinaryIO", path.open(mode))
        raise EntryError(f"no entry {entry_id} in the quarantine {self.directory}")

    def _header(self, entry_id: str, file: BinaryIO) -> Entry:
        with self._failing(), self._readable(entry_id), self._naming(entry_id):
            entry = read_header(file)
            if entry.id != entry_id:
                raise EntryError(f"describes entry {entry.id}")
            return entry

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """What goes wrong with a file is a StoreError that names the quarantine."""
        try:
            yield
        except OSError as error:
            reason = os.strerror(error.errno or errno.EIO)
            raise StoreError(f"quarantine {self.directory}: {reason}") from error

    @contextmanager
    def _readable(self, entry_id: str) -> Iterator[None]:
        """What concerns only this entry is an EntryError: it must not stop the work on the others."""
        try:
            yield
        except OSError as error:
            if error.errno not in _OF_ONE_FILE:
                raise
            raise EntryError(f"entry {entry_id}: cannot be read: {error.strerror}") from error

    @contextmanager
    def _naming(self, entry_id: str) -> Iterator[None]:
        """Give an EntryError the ID."""
        try:
            yield
        except EntryError as error:
            raise EntryError(f"entry {entry_id}: {error}") from None


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def is_day(name: str) -> bool:
    """Whether this is the name of the folder of a day."""
    return _DAY.fullmatch(name) is not None
