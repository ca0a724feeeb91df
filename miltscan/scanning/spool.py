"""Keeps the bytes of a message during its transaction: in memory first, on disk above a size; reads nothing back.

A memory file (memfd) and an unnamed file (O_TMPFILE, where the file system has it) vanish with their descriptor, so a
killed worker leaves nothing behind. A few memory files serve for message after message: the kernel takes five times as
long to find new memory for 1 MB as to write it. Chunks are never collected in Python lists: 50 messages of 10 MB took
2 GB in lists, which were never freed, and 17 MB in unnamed files.
"""

import errno
import os
import tempfile
from collections import deque
from contextlib import suppress
from pathlib import Path

from miltscan.errors import SpoolError

_KEPT = 8
"""The largest number of memory files that this process keeps for later messages."""
_LARGEST_KEPT = 2**20  # bytes of such a file
_kept: deque[tuple[int, int]] = deque()
"""Their descriptors, each with the bytes that a former message left in it."""
_on_disk: set["Spool"] = set()
"""The open spools of this process whose bytes are in a file."""


def on_disk() -> tuple[int, int]:
    """The number of this process's spools that are in files, and their bytes. From any thread."""
    spools = tuple(_on_disk)
    return len(spools), sum(spool.size for spool in spools)


class Spool:
    """The bytes of one message. `memory` in bytes is the size above which they move to a file in `directory`.

    `expected` in bytes is the announced size: if it is above `memory`, the file takes them from the first byte on. The
    descriptor is opened at the first write; `close` may be called at any time, more than once.
    """

    __slots__ = ("_directory", "_fd", "_left", "_memory", "_on_disk", "_retained", "expected", "size")

    def __init__(self, directory: Path, memory: int) -> None:
        self._directory = directory
        self._memory = memory
        self._on_disk = self._retained = False
        self._fd = -1
        self._left = 0  # bytes of a former message in the file
        self.size = self.expected = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`; raises SpoolError if there is no space."""
        size = len(data)
        try:
            if self._fd < 0 or self.size + size > self._memory:
                self._make_room(size)
            written = os.write(self._fd, data)
            while written < size:  # a nearly full disk accepts a part before it fails
                written += os.write(self._fd, data[written:])
        except OSError as error:
            raise SpoolError(f"spool directory {self._directory}: {os.strerror(error.errno or errno.EIO)}") from error
        self.size += size

    def fileno(self) -> int:
        """The descriptor, -1 before the first write. What a former message left behind this one is cut off here."""
        if self._left > self.size:
            os.ftruncate(self._fd, self.size)
            self._left = 0
        return self._fd

    def retain(self) -> None:
        """Another process may still read the file: it must not be used for another message."""
        self._retained = True

    def recycle(self) -> None:
        """Close it, and keep a memory file for the next message. No other process may still read it."""
        held = max(self.size, self._left)
        if self._fd >= 0 and not (self._on_disk or self._retained) and held <= _LARGEST_KEPT and len(_kept) < _KEPT:
            _kept.append((self._fd, held))
            self._fd = -1
        self.close()

    def close(self) -> None:
        """Free the bytes."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._on_disk:
                _on_disk.discard(self)

    def _make_room(self, more: int) -> None:
        if max(self.size + more, self.expected) > self._memory:
            if not self._on_disk:
                self._move_to_disk()
        elif self._fd < 0:
            with suppress(IndexError):
                self._fd, self._left = _kept.pop()
                os.lseek(self._fd, 0, os.SEEK_SET)
                return
            self._fd = os.memfd_create("miltscan", os.MFD_CLOEXEC)

    def _move_to_disk(self) -> None:
        with tempfile.TemporaryFile(dir=self._directory, buffering=0) as file:
            disk = os.dup(file.fileno())
        memory, self._fd, self._on_disk, self._left = self._fd, disk, True, 0
        _on_disk.add(self)
        if memory >= 0:
            try:
                _copy(memory, disk, self.size)
            finally:
                os.close(memory)


def _copy(source: int, target: int, size: int) -> None:
    offset = 0
    while offset < size:
        offset += os.sendfile(target, source, offset, size - offset)
