"""The file of the allow and deny lists: read whole, appended to under a lock, never changed in place.

`core.listlines` defines its lines. The file itself is the audit: who added or removed an entry, when and why.
"""

import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from miltscan.core.listlines import FIRST, LONGEST, added_line, expired_line, read_lists, removed_line
from miltscan.core.lists import ListEntry, Lists
from miltscan.core.text import readable
from miltscan.errors import ListError
from miltscan.quarantine.writing import append, locked, sync

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_FOLDER_MODE = 0o755  # as StateDirectory= makes it (systemd.exec(5))
_LARGEST = 64 * 2**20  # bytes: some 200,000 changes, which are read in a second


class FileState(NamedTuple):
    """By which a change of the file is noticed: inode, size, and time of the last change in nanoseconds."""

    inode: int
    size: int
    changed: int


class ListFile:
    """The file at `path`; without it the lists are empty."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def state(self) -> FileState | None:
        """The state of the file; None if there is none, or an empty one. Raises OSError."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return FileState(found.st_ino, found.st_size, found.st_mtime_ns) if found.st_size else None

    def read(self) -> Lists:
        """The lists in the file. Raises ListError if it cannot be read, or has another format."""
        try:
            with self.path.open("rb") as file:
                return self._parsed(file.read(_LARGEST + 1))
        except FileNotFoundError:
            return Lists()
        except OSError as error:
            raise self._failure(error) from None

    def add(self, entry: ListEntry) -> ListEntry:
        """Add the entry with a new ID, durably; returns it. Raises ListError."""

        def lines(former: Lists) -> Sequence[bytes]:
            nonlocal entry
            used = {one.id for one in former.entries}
            while not entry.id or entry.id in used:
                entry = replace(entry, id="".join(secrets.choice(_ALPHABET) for _ in range(8)))
            line = added_line(entry)
            if len(line) > LONGEST:
                raise ListError(f"{self.path}: the entry is too long; give a shorter reason")
            return (line,)

        self._append(lines)
        return entry

    def remove(self, text: str, now: float, by: str, reason: str) -> ListEntry:
        """Remove the entry whose ID is, or begins with, `text`, durably; returns it. Raises ListError."""
        found: list[ListEntry] = []

        def lines(former: Lists) -> Sequence[bytes]:
            found[:] = [one for one in former.entries if text and one.id.startswith(text.lower())]
            if len(found) != 1:
                many = f"{len(found)} entries have an ID that begins so" if found else "no entry of the lists"
                raise ListError(f"{readable(text, 60)}: {many}; miltscan lists shows the IDs")
            return (removed_line(found[0].id, now, by, reason),)

        self._append(lines)
        return found[0]

    def expire(self, now: float) -> Sequence[ListEntry]:
        """Record which entries have expired; returns those that nothing had recorded before. Raises ListError."""
        found: list[ListEntry] = []

        def lines(former: Lists) -> Sequence[bytes]:
            found[:] = [one for one in former.entries if not one.is_in_force(now)]
            return [expired_line(one.id, now) for one in found]

        self._append(lines)
        return found

    def _append(self, lines: Callable[[Lists], Sequence[bytes]]) -> None:
        """Append what `lines` returns for the lists as they are, while no other process changes the file."""
        try:
            self.path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            with locked(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
                data = os.pread(descriptor, _LARGEST + 1, 0)
                text = b"".join(lines(self._parsed(data)))
                if not text:
                    return
                try:
                    append(descriptor, text if data else FIRST + text)
                except OSError:  # a full disk: half an entry must not stay
                    with suppress(OSError):
                        if os.fstat(descriptor).st_size > len(data):
                            os.ftruncate(descriptor, len(data))
                    raise
            if not data:
                sync(self.path.parent)
        except OSError as error:
            raise self._failure(error) from None

    def _parsed(self, data: bytes) -> Lists:
        if len(data) > _LARGEST:
            raise ListError(f"{self.path}: larger than {_LARGEST} bytes; move it away and add its entries again")
        try:
            return read_lists(data)
        except ValueError as error:
            raise ListError(
                f"{self.path}: {error}; restore the file, or move it away to begin with empty lists"
            ) from None

    def _failure(self, error: OSError) -> ListError:
        return ListError(f"{self.path}: {error.strerror}; lists.file must be a file of miltscan's user")
