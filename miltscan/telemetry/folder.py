"""The metrics folder (`exporter.directory`) of a service: locked, emptied, with its space reserved. It counts nothing.

A full folder stops no mail: the service then counts in a folder of its own in memory (/dev/shm), until its next start.
"""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.errors import StartError
from miltscan.telemetry import exemplars
from miltscan.telemetry.metrics import FAMILIES

SUPERVISOR = "supervisor"
EXPORTER = "exporter"
TRACER = "tracer"
PROBER = "prober"
KEEPER = "keeper"
_OURS = re.compile(r"(counter|histogram|summary|gauge_[a-z]+)_\w+")  # prometheus_client's names: type, mode, slot
_SPACE = {"counter": 2**15, "histogram": 2**16}
"""Bytes reserved for a file: what 50 signatures and three servers need. Beyond it the file grows if there is space."""
_SPACE_OF_GAUGES = 2**13
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_CANNOT_RESERVE = {errno.EOPNOTSUPP, errno.EINVAL}  # some file systems: there a count may stay in memory later
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder with an unpredictable name is made in it
_PREFIX = "miltscan-metrics-"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class MetricsFolder:
    """The folder `path` in which a service counts; `fault` is why it is not, or not fully, the configured one."""

    path: Path
    locks: tuple[int, ...]
    fault: str = ""
    private: bool = False

    def release(self) -> None:
        """End the use of the folder."""
        if self.private:
            shutil.rmtree(self.path, ignore_errors=True)
        for lock in self.locks:
            os.close(lock)


def slots_of(settings: Settings) -> list[str]:
    """Return the slots of all processes that a service with these settings may have."""
    return [SUPERVISOR, EXPORTER, TRACER, PROBER, KEEPER, *map(str, range(settings.workers))]


def claim_folder(folder: Path, slots: Collection[str]) -> MetricsFolder:
    """Return a folder with empty counts (0700) for a new service with these slots. Raises StartError.

    A folder of another service, or with files of others, is refused before anything in it is changed: /etc/mail is full
    of `*.db`.
    """
    locks: tuple[int, ...] = ()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_others(folder)
        locks = (_lock(folder),)
        folder.chmod(0o700)
        for file in (*folder.glob("*.db"), *folder.glob(exemplars.PATTERN)):
            file.unlink()
        reserve(folder, slots)
    except OSError as error:
        if error.errno in _NO_SPACE:
            return _in_memory(folder, locks, slots, f"{folder}: {error.strerror}")
        raise StartError(
            f"exporter.directory {folder}: {error.strerror}. It must be a directory that miltscan's user owns."
        ) from error
    return MetricsFolder(folder, locks)


def reserved_space(slots: Collection[str]) -> int:
    """Return the bytes that the files of these slots need."""
    return sum(size for _, size in _files(Path(), slots))


def reserve(folder: Path, slots: Collection[str]) -> None:
    """Make the files of these slots, so that a disk which gets full later takes no count away. Raises OSError."""
    for file, size in _files(folder, slots):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
        finally:
            os.close(descriptor)


def _files(folder: Path, slots: Collection[str]) -> Iterator[tuple[Path, int]]:
    for slot in slots:
        for kind in sorted({one.file_type for one in FAMILIES}):
            yield folder / f"{kind}_{slot}.db", _SPACE.get(kind, _SPACE_OF_GAUGES)


def _refuse_others(folder: Path) -> None:
    # of others: a folder, or a database whose name is not one of prometheus_client's
    databases = {path for path in folder.glob("*.db") if not _OURS.fullmatch(path.stem)}
    if others := sorted(path.name for path in folder.iterdir() if path.is_dir() or path in databases):
        raise StartError(
            f"exporter.directory {folder}: contains {others[0]!r}, which is not a file of miltscan. "
            "exporter.directory must be a separate directory."
        )


def _lock(folder: Path) -> int:
    """Return the descriptor that holds the lock of the folder. Raises StartError if another service has it.

    A record lock belongs to the supervisor alone: no child inherits it, so workers that finish their messages after its
    death keep no new service from the folder. It ends with the process, with any content of the file.
    """
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        if error.errno not in {errno.EACCES, errno.EAGAIN}:
            raise
        raise StartError(
            f"exporter.directory {folder}: in use by another miltscan{f' (pid {owner})' if owner.isdecimal() else ''}. "
            "Stop it first, or choose another exporter.directory."
        ) from error
    with suppress(OSError):  # the folder is private; a service that root has run once keeps no other user from it
        os.fchmod(descriptor, 0o666)
    with suppress(OSError):  # a full disk: then a second service is refused without the number
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _in_memory(folder: Path, locks: tuple[int, ...], slots: Collection[str], fault: str) -> MetricsFolder:
    """Return a folder in memory. If that is full as well, each process counts for itself, unseen by the exporter."""
    _remove_abandoned()
    try:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_MEMORY if _MEMORY.is_dir() else None))
    except OSError:
        return MetricsFolder(folder, locks, fault)
    with suppress(OSError):
        locks = (*locks, _lock(path))
        reserve(path, slots)
    return MetricsFolder(path, locks, fault, private=True)


def _remove_abandoned() -> None:
    """Remove the folders in memory of services of this user that were killed."""
    for path in _MEMORY.glob(f"{_PREFIX}*"):
        with suppress(OSError, StartError):  # of another user, or in use
            if path.lstat().st_uid == os.geteuid():
                os.close(_lock(path))
                shutil.rmtree(path)
