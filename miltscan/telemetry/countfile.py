"""The counts of a process: in its memory, with a copy in a file that the exporter reads. It reads no other process's.

prometheus_client maps a sparse file into memory. On a full disk the next write to such a page kills the process by
SIGBUS. Here a file is written with pwrite(2), which fails instead: the process continues to count in memory, and
`keep_all` writes the whole file when there is space again, or when the file was removed. The format is that of
prometheus_client, whose `MmapedDict` this class replaces: an integer (bytes in use) and four bytes of padding, then for
each series its key and two floats (value and time).
"""

import errno
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from prometheus_client.mmap_dict import _read_all_values

_HEADER = 8
_NUMBERS = struct.Struct("dd")
_USED = struct.Struct("i")
_MODE = 0o600


class CountFile:
    """The file `filename` of this process's slot; an existing one is continued. No method raises."""

    def __init__(self, filename: str) -> None:
        self.fault = ""  # why the file is not up to date
        self._path = Path(filename)
        self._descriptor = -1
        self._lock = Lock()  # several threads of the exporter write
        self._data = bytearray(_USED.pack(_HEADER).ljust(_HEADER, b"\0"))
        self._places: dict[str, int] = {}
        self._changed = True
        with suppress(OSError, RuntimeError, struct.error, ValueError):  # no file yet, or a broken one: begin at 0
            self._read(self._path.read_bytes())
        FILES.append(self)

    def read_value(self, key: str) -> tuple[float, float]:
        """Return value and time of a series, which begins at 0."""
        if key not in self._places:
            self._add(key, 0.0, 0.0)
        numbers: tuple[float, float] = _NUMBERS.unpack_from(self._data, self._places[key])
        return numbers

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Set value and time of a series."""
        if key not in self._places:
            self._add(key, value, timestamp)
            return
        place = self._places[key]
        self._data[place : place + _NUMBERS.size] = _NUMBERS.pack(value, timestamp)
        self._note()

    def save(self) -> None:
        """Write what changed. A snapshot of all is one call, and other threads may count meanwhile."""
        if self._changed:
            with self._lock:
                self._save()

    def keep(self) -> None:
        """Write the file again if it was removed, and what could not be written before.

        A process whose parent has ended does not: a new service has removed its files, and uses the same names.
        """
        with self._lock:
            if self._descriptor >= 0 and self._is_gone() and _writing.parent in {None, os.getppid()}:
                self.close()
                self._changed = True
        self.save()

    def close(self) -> None:
        """Close the file; the next `save` opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _save(self) -> None:
        self._changed = False
        data = bytes(self._data)
        used = _USED.unpack_from(data)[0]
        try:
            self._open()
            if os.pwrite(self._descriptor, data[_HEADER:used], _HEADER) < used - _HEADER:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - to write a part is no error
            os.pwrite(self._descriptor, data[:_HEADER], 0)  # last, as a reader may come at any time
            self.fault = ""
        except OSError as error:
            self._changed = True
            self.fault = f"{self._path.parent}: {error.strerror}"

    def _add(self, key: str, value: float, timestamp: float) -> None:
        name = key.encode()
        padding = b" " * (_HEADER - (len(name) + _USED.size) % _HEADER)  # as prometheus_client has it: 1 to 8 bytes
        self._data += _USED.pack(len(name)) + name + padding + _NUMBERS.pack(value, timestamp)
        self._data[: _USED.size] = _USED.pack(len(self._data))
        self._places[key] = len(self._data) - _NUMBERS.size
        self._note()

    def _note(self) -> None:
        self._changed = True
        if not _writing.later:
            self.save()

    def _is_gone(self) -> bool:
        try:
            return not os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except OSError:
            return True

    def _open(self) -> None:
        if self._descriptor < 0:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)

    def _read(self, data: bytes) -> None:
        used = _USED.unpack_from(data)[0]
        places = {key: place for key, _, _, place in _read_all_values(data, used)} if used else {}  # type: ignore[no-untyped-call]
        if places:
            self._data, self._places = bytearray(data[:used]), places


@dataclass(slots=True)
class _Writing:
    """Whether files are written only by `keep_all`, and the parent, with which this process loses its slot."""

    later: bool = False
    parent: int | None = None


FILES: list[CountFile] = []
"""The files of this process."""
_writing = _Writing()


def begin_files(parent: int | None) -> None:
    """Forget the files of the parent process, and write new ones only by `keep_all`, until `begin_writing`."""
    _writing.later, _writing.parent = True, parent
    while FILES:
        FILES.pop().close()


def begin_writing(*, later: bool) -> None:
    """Write at each count from now on, or only by `keep_all`."""
    _writing.later = later


def keep_all() -> str:
    """Write each file that is not up to date; return why one cannot be written, empty if all are."""
    for file in FILES:
        file.keep()
    return next((file.fault for file in FILES if file.fault), "")


def empty(file: Path) -> None:
    """Forget the series of a file and keep its space, which may be the last on the disk. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, bytes(_HEADER), 0)
    finally:
        os.close(descriptor)
