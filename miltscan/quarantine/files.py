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
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.encoder import PLAIN, Encoder, decoded
from miltscan.quarantine.entry import Entry, Event, Standing, day_of, is_entry_id, new_id
from miltscan.quarantine.record import blank, event_line, header, read_events, read_header

FOLDER_MODE, FILE_MODE = 0o700, 0o600
_CHUNK = 2**17  # bytes
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
"""What open(2) reports for O_TMPFILE where the file system (NFS) or the kernel has none."""


class Files:
    """The folder `directory`, which the first `put` makes if it is missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.new = directory / "new"

    def prepare(self) -> None:
        """Make the folders that are missing. Raises StoreError."""
        with self._failing():
            self.directory.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            self.new.mkdir(mode=FOLDER_MODE, exist_ok=True)
            _sync(self.directory)

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
            with _Unlinked(folder, f"{entry.id}.entry") as file:
                entry = _write(file.descriptor, entry, _Source(message, offset), encoder)
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
        """The events of the entry; none if it has no state file. Raises StoreError."""
        with self._failing():
            try:
                return read_events(self._state(entry_id).read_bytes().splitlines())
            except FileNotFoundError:
                return ()

    @contextmanager
    def message(self, entry_id: str, keys: Sequence[Any] = ()) -> Iterator[BinaryIO]:
        """The message as received: a file in memory, checked before. `keys` are from `encoder.identities`.

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
            with _locked(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
                os.close(os.open(self._mark(entry_id), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
                _append(descriptor, event_line(event))
            _sync(path.parent)

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

        Raises StoreError.
        """
        freed = 0
        with self._failing():
            for path in (*self._places(entry_id), self._state(entry_id), self._mark(entry_id)):
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

    def waiting(self) -> list[str]:
        """The IDs that the index may not know, or not with their state, sorted. Raises StoreError."""
        with self._failing():
            try:
                names = [path.name for path in self.new.iterdir()]
            except FileNotFoundError:
                return []
        found = {name.rpartition(".")[0] for name in names if name.endswith((".entry", ".changed"))}
        return sorted(filter(is_entry_id, found))

    def settle(self, standings: Iterable[Standing]) -> None:
        """Move entries that are in the index, as these standings, to the folders of their days. Raises StoreError."""
        with self._failing():
            for entry, events in standings:
                self._unmark(entry.id, len(events))
                source, target = self.new / f"{entry.id}.entry", self._places(entry.id)[0]
                if source.exists():
                    target.parent.mkdir(mode=FOLDER_MODE, exist_ok=True)
                    with suppress(FileNotFoundError):  # another process was faster
                        source.rename(target)

    def _unmark(self, entry_id: str, events: int) -> None:
        """Forget that the state has changed, unless it has changed again since `events` events were read."""
        if not self._mark(entry_id).exists():
            return
        with suppress(FileNotFoundError), _locked(self._state(entry_id), os.O_RDONLY):
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
            with self._failing(), suppress(FileNotFoundError):
                return cast("BinaryIO", path.open(mode))
        raise EntryError(f"no entry {entry_id} in the quarantine {self.directory}")

    def _header(self, entry_id: str, file: BinaryIO) -> Entry:
        with self._failing(), self._naming(entry_id):
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


class _Unlinked:
    """A file that gets its name `name` in `folder` (a descriptor) when it is complete, or vanishes.

    Without O_TMPFILE it is called NAME.tmp before: what a killed process leaves of it, `check` removes.
    """

    def __init__(self, folder: int, name: str) -> None:
        self._folder, self._name, self._temporary = folder, name, ""
        flags = os.O_WRONLY | os.O_CLOEXEC
        try:
            self.descriptor = os.open(".", flags | os.O_TMPFILE, FILE_MODE, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
            self._temporary = f"{name}.tmp"
            self.descriptor = os.open(self._temporary, flags | os.O_CREAT | os.O_EXCL, FILE_MODE, dir_fd=folder)

    def link(self) -> None:
        """Give it its name."""
        if self._temporary:
            os.rename(self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            self._temporary = ""
        else:  # only with src_dir_fd does Python call linkat(2), which follows the link of /proc
            source = f"/proc/self/fd/{self.descriptor}"
            os.link(source, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._folder)


class _Source:
    """The message behind a descriptor, from `offset` on, with its size and digest so far."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self._descriptor, self._offset = descriptor, offset
        self.size, self.digest = 0, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = os.pread(self._descriptor, _CHUNK if size < 0 else size, self._offset + self.size)
        self.size += len(data)
        self.digest.update(data)
        return data


class _Target:
    """The place of the message in the file, with its size and digest so far."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size, self.digest = 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write all of it."""
        _write_all(self._descriptor, data)
        self.size += len(data)
        self.digest.update(data)
        return len(data)


def _write(descriptor: int, entry: Entry, source: _Source, encoder: Encoder) -> Entry:
    """Write the file. Its head comes last, in its place: size and digest are known when the message was copied."""
    length, room = blank(entry)
    os.lseek(descriptor, length, os.SEEK_SET)
    target = _Target(descriptor)
    encoder.encode(source, target)
    entry = replace(
        entry,
        size=source.size,
        digest=source.digest.hexdigest(),
        kept_size=target.size,
        kept_digest=target.digest.hexdigest(),
    )
    os.lseek(descriptor, 0, os.SEEK_SET)
    _write_all(descriptor, header(entry, room))
    return entry


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):  # a nearly full disk accepts a part before it fails
        written += os.write(descriptor, data[written:])


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    """The file, which no other process appends to meanwhile."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _append(descriptor: int, line: bytes) -> None:
    """Append a line, in one write, and sync it. A torn line before it, left by a crash, ends there."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    _write_all(descriptor, line)
    os.fsync(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
