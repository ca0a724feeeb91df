"""Watches the temporary folder of a clamd on this host, so that its OK counts only while it had room to unpack.

What counts as room is decided in `core.room`. Neither access(2), a trial write nor the flag of a read-only mount is
used: in its unit miltscan sees every folder read-only, and clamd is another user with mounts of its own.
"""

import os
import select
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock
from time import monotonic
from weakref import finalize

from miltscan.core.address import Address
from miltscan.core.clamav_conf import clamav_number
from miltscan.core.mounts import mounted_path
from miltscan.core.room import Folder, no_room, parse_writer, room_needed
from miltscan.engines.clamd.local import LocalClamd, UnseenError, effective_options, find_clamd, same_place

_FRESH = 0.05  # seconds for which a look serves as the first one of the next scan
_MOUNTS_EVERY = 1.0  # seconds; a change by mount(8) shows at once, one by the kernel after errors of the disk does not


class _Process:
    """A process that stays the same one: its number may be used again after its end. Raises OSError if it has ended."""

    def __init__(self, pid: int) -> None:
        self._folder = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finalize(self, os.close, self._folder)
        mounts = self._open("mountinfo", 0)
        finalize(self, os.close, mounts)
        self._changes = select.poll()
        self._changes.register(mounts, select.POLLPRI)

    def _open(self, name: str, _flags: int) -> int:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)

    def read(self, name: str) -> str:
        """One of its files below /proc."""
        with open(name, errors="replace", opener=self._open) as file:
            return file.read()

    def has_new_mounts(self) -> bool:
        """Whether its mounts changed since the last call (proc(5), mountinfo)."""
        return bool(self._changes.poll(0))


class TemporaryFolder:
    """The temporary folder of one running clamd, for many threads.

    `scan_size` is MaxScanSize in bytes, `scans` how many messages clamd scans at once.
    """

    def __init__(self, clamd: LocalClamd) -> None:
        """Raises OSError or UnseenError if this process does not see the folder that clamd sees."""
        self._file, self._signature = clamd.file, _signature(clamd.file)
        self._process = _Process(clamd.pid)
        options = _options(clamd, self._signature)
        self.path = Path(options["TemporaryDirectory"]).resolve()
        self._name = str(self.path)
        self.scan_size = clamav_number(options["MaxScanSize"])
        self.scans = clamav_number(options["MaxThreads"])
        if not same_place(self._process.read("mountinfo"), self.path):
            raise UnseenError(f"it sees another {self.path} than miltscan: one of them has mounts of its own")
        writer = parse_writer(self._process.read("status"))
        # an access list may let clamd write where mode and owner do not show it
        self.writer = None if _has_access_list(self.path) else writer
        self._as_root = writer is not None and writer.user == 0
        self._mounts = Lock()
        self._read_at, self._closed = 0.0, ""
        self._seen: tuple[float, Folder | None] = (0.0, None)
        with suppress(FileNotFoundError):  # a missing folder is seen, too
            self.state()

    @property
    def current(self) -> bool:
        """Whether the process is alive, and its file the one that was read."""
        with suppress(OSError):
            # unlike `status`, a process that its parent has not reaped has no mounts
            return bool(self._process.read("mountinfo")) and _signature(self._file) == self._signature
        return False

    def state(self) -> Folder:
        """The folder now. Raises OSError if it cannot be seen."""
        entry, space = os.stat(self._name), os.statvfs(self._name)  # noqa: PTH116 - twice a message: half the cost
        free = space.f_bfree if self._as_root else space.f_bavail  # root may use the reserve
        seen = Folder(
            entry.st_dev,
            entry.st_ino,
            entry.st_uid,
            entry.st_gid,
            entry.st_mode,
            free * space.f_frsize,
            space.f_favail if space.f_files else None,
        )
        self._seen = monotonic(), seen
        return seen

    def lately(self) -> Folder:
        """The folder now or as it was a moment ago, after another message: that saves busy hosts half of the looks."""
        at, seen = self._seen
        return seen if seen and monotonic() - at < _FRESH else self.state()

    def closed(self) -> str:
        """Why clamd cannot write there for a reason that the folder itself does not show; empty if it can."""
        with self._mounts:
            now = monotonic()
            if self._process.has_new_mounts() or now - self._read_at >= _MOUNTS_EVERY:
                self._read_at, self._closed = now, self._look_at_mounts()
            return self._closed

    def _look_at_mounts(self) -> str:
        try:
            table = self._process.read("mountinfo")
        except OSError:
            return "clamd has ended"
        if not same_place(table, self.path):
            return "clamd has another folder mounted there"
        found = mounted_path(table, str(self.path))
        return "its file system is read-only" if found and found.read_only else ""


class Glance:
    """What one scan saw of the folder: `look` before, during and after it. `why` there was no room, or empty."""

    __slots__ = ("_first", "_folder", "_needed", "why")

    def __init__(self, folder: TemporaryFolder, size: int) -> None:
        self._folder = folder
        self._needed = room_needed(size, folder.scan_size)
        self._first: tuple[int, int] | None = None
        self.why = self._look(folder.lately)

    def look(self) -> str:
        """The first reason why there was no room so far, or empty. Never raises."""
        self.why = self.why or self._look(self._folder.state)
        return self.why

    def _look(self, seen: Callable[[], Folder]) -> str:
        why = self._shortage(seen)
        return why and f"its temporary folder {self._folder.path}: {why}"

    def _shortage(self, seen: Callable[[], Folder]) -> str:
        try:
            now = seen()
        except OSError as error:
            return error.strerror or "not readable"
        if self._first is None:
            self._first = now[:2]
            return no_room(now, self._folder.writer, self._needed)  # the last look asks for the mounts
        if self._first != now[:2]:
            return "replaced by another folder during the scan"
        return no_room(now, self._folder.writer, self._needed) or self._folder.closed()


class Room:
    """Finds the folder, and again after a restart or another configuration of clamd. `unseen` is why it cannot.

    Only one thread at a time may call `survey`, any thread `glance`.
    """

    def __init__(self, server: Address) -> None:
        self._server = server
        self._folder: TemporaryFolder | None = None
        self.unseen = ""

    def survey(self) -> None:
        """Find the folder."""
        if self._folder and self._folder.current:
            return
        try:
            self._folder, self.unseen = TemporaryFolder(find_clamd(self._server)), ""
        except UnseenError as error:
            self._folder, self.unseen = None, str(error)
        except OSError as error:
            self._folder, self.unseen = None, f"{error.filename}: {error.strerror}"

    def glance(self, size: int) -> Glance | None:
        """A first look before the scan of so many bytes; None where the folder cannot be seen."""
        folder = self._folder
        return Glance(folder, size) if folder else None


@lru_cache(maxsize=8)
def _options(clamd: LocalClamd, _signature: tuple[int, int, int]) -> dict[str, str]:
    """Read once for each process and file, by a program: each self-test looks again for a folder that it cannot see."""
    return effective_options(clamd.file)


def _signature(file: Path) -> tuple[int, int, int]:
    entry = file.stat()
    return entry.st_ino, entry.st_mtime_ns, entry.st_size


def _has_access_list(folder: Path) -> bool:
    with suppress(OSError):
        return bool(os.getxattr(folder, "system.posix_acl_access"))
    return False
