"""How the files of the quarantine reach the disk: a whole file gets its name when it is there, a line is appended.

It knows no names of files and no folders.
"""

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from miltscan.errors import StoreError
from miltscan.quarantine.encoder import Encoder
from miltscan.quarantine.entry import Entry
from miltscan.quarantine.record import ENDING, LONGEST, ending, opening

FILE_MODE = 0o600
_CHUNK = 2**17  # bytes
_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
"""What open(2) reports for O_TMPFILE where the file system (NFS) or the kernel has none."""


class UnlinkedFile:
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
    """The place of the encoded message in the file, with its size and digest so far."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size, self.digest = 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write all of it."""
        _write_all(self._descriptor, data)
        self.size += len(data)
        self.digest.update(data)
        return len(data)


def write_entry(descriptor: int, entry: Entry, message: int, offset: int, encoder: Encoder) -> Entry:
    """Write the entry with the message that `message` (a descriptor) has from `offset` on; return it, complete.

    The head comes last, in its place: size and digest are known when the message was copied. Raises OSError and
    StoreError.
    """
    head = opening(entry)
    if len(head) + ENDING > LONGEST:  # it could not be read again
        raise StoreError(f"the envelope takes {len(head)} bytes; an entry has room for {LONGEST}")
    os.lseek(descriptor, len(head) + ENDING, os.SEEK_SET)
    source, target = _Source(message, offset), _Target(descriptor)
    if entry.encoding:
        encoder.encode(source, target)
    else:
        while chunk := source.read():
            _write_all(descriptor, chunk)
    size, digest = source.size, source.digest.hexdigest()
    kept = (target.size, target.digest.hexdigest()) if entry.encoding else (size, digest)
    entry = replace(entry, size=size, digest=digest, kept_size=kept[0], kept_digest=kept[1])
    os.lseek(descriptor, 0, os.SEEK_SET)
    _write_all(descriptor, head + ending(entry))
    return entry


def _write_all(descriptor: int, data: bytes) -> None:
    written = os.write(descriptor, data)
    while written < len(data):  # a nearly full disk accepts a part before it fails
        written += os.write(descriptor, data[written:])


@contextmanager
def locked(path: Path, flags: int) -> Iterator[int]:
    """The file, opened with these flags, which no other process appends to meanwhile. Raises OSError."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def append(descriptor: int, line: bytes) -> None:
    """Append a line, in one write, and sync it. A torn line before it, left by a crash, ends there.

    Raises OSError.
    """
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    _write_all(descriptor, line)
    os.fsync(descriptor)


def sync(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
