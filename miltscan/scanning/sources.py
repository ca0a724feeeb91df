"""The sources of values that rules name, in memory: read again when a file changes, at no cost for a message.

A thread compares the files twice a second, and reads one when two looks in turn find the same new state: whoever
writes it may not have finished. Where a file vanishes or can no longer be read, its last content stays in force and an
alert fires. sendmail's access map is read with its own tool, `makemap -u`, so that every format that this tool has
works; a source of text (`text:/etc/mail/access`) is read directly.
"""

import os
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from stat import S_ISREG
from struct import unpack_from

from structlog.typing import FilteringBoundLogger

from miltscan.core.lookup import Check, FileValues, Kind, Source, file_lines, has_key, map_entries, text_map
from miltscan.errors import SourceError
from miltscan.telemetry import mail_metrics

_PERIOD = 0.5  # seconds between two looks
_PATIENCE = 30.0  # seconds for makemap
_LARGEST = 256 * 2**20  # bytes of a file
_FOLDERS = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/lib/sm.bin"  # where makemap may be; a service has a short PATH
_META = 72  # bytes of the first page of a Berkeley DB
_MAGIC = (0x61561, 0x53162)  # hash, btree
_SUFFIXES = {"hash": ".db", "btree": ".db", "cdb": ".cdb", "text": ""}

State = tuple[int, int, int]
"""Inode, size and time of the last change: what differs when a file has another content."""


class _Watched:
    """One file, whose content `_take` keeps. `name` stands in the log."""

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.fault = ""
        self._seen: State | None = None
        self._last: State | None = None

    def begin(self) -> None:
        """Read the file for the first time. Raises SourceError."""
        try:
            state = self.state()
            self._take()
            self._seen = self._last = state
        except FileNotFoundError:
            raise SourceError(f"{self.name}: {self.path} does not exist; create it, or change the rule") from None
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise SourceError(f"{self.name}: {_said(error, self.path)}") from None

    def look(self) -> bool:
        """Read the file if it has another content; return whether it was read. Sets `fault`. Never raises."""
        try:
            state = self.state()
            settled, self._last = state == self._last, state
            if state == self._seen and not self.fault:
                return False
            if not settled:
                return False
            self._take()
            self._seen, self.fault = state, ""
        except FileNotFoundError:
            self.fault = f"{self.path} has vanished"
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.fault = _said(error, self.path)
        else:
            return True
        return False

    def state(self) -> State:
        """What shows that the file has changed. Raises OSError."""
        found = Path(self.path).stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _take(self) -> None:
        raise NotImplementedError


class _File(_Watched):
    """`file:/path`; each condition that names it has a check for its lines."""

    def __init__(self, text: str) -> None:
        super().__init__(text, text.removeprefix("file:"))
        self.checks: list[Check] = []
        self._values = FileValues()

    def has(self, kind: Kind, value: str) -> bool | None:
        """As a source does."""
        return self._values.has(kind, value)

    def _take(self) -> None:
        self._values = FileValues(file_lines(_content(self.path), self.checks))


class _Map(_Watched):
    """sendmail's access map, `hash:/etc/mail/access`."""

    def __init__(self, place: str) -> None:
        self.kind, _, self.stem = place.partition(":")
        super().__init__(place, self.stem + _SUFFIXES[self.kind])
        self.entries: Mapping[str, str] = {}

    def _take(self) -> None:
        if self.kind == "text":
            self.entries = text_map(_content(self.path))
            return
        with Path(self.path).open("rb") as file:  # makemap's own message about a file that it may not read is no help
            _refuse_cut(file.read(_META), Path(self.path).stat().st_size)
        command = ["makemap", "-u", self.kind, self.stem]
        ended = subprocess.run(  # noqa: S603 - the place is the administrator's
            command, check=False, capture_output=True, timeout=_PATIENCE, env={"PATH": _FOLDERS, "LC_ALL": "C"}
        )
        if ended.returncode:
            said = [one for one in ended.stderr.decode("ascii", "replace").split("\n") if one and "WARNING" not in one]
            raise ValueError(f"{' '.join(command)}: {said[-1].strip() if said else f'status {ended.returncode}'}")
        self.entries = map_entries(ended.stdout)


class _Tagged:
    """`access:TAG`: the keys of the map with this tag."""

    def __init__(self, found: _Map, tag: str) -> None:
        self._map = found
        self._tag = tag

    def has(self, kind: Kind, value: str) -> bool | None:
        """As a source does."""
        return has_key(self._map.entries, self._tag, kind, value)


class Sources:
    """The sources of one process; `access_map` is the place of sendmail's map. `log` returns the logger in force."""

    def __init__(self, access_map: str, log: Callable[[], FilteringBoundLogger]) -> None:
        self._access_map = access_map
        self._log = log
        self._watched: dict[str, _Watched] = {}
        self._ended = threading.Event()
        mail_metrics.SOURCES_STALE.child().set(0)

    def open(self, text: str, check: Check) -> Source:
        """The source that `text` names, read now; `check` reads one line of a file. Raises SourceError."""
        kind, _, tag = text.partition(":")
        if kind == "access":
            found = self._watched.get(self._access_map)
            if not isinstance(found, _Map):
                found = _Map(self._access_map)
                found.begin()
                self._watched = {**self._watched, self._access_map: found}
            return _Tagged(found, tag)
        file = self._watched.get(text)
        if not isinstance(file, _File):
            file = _File(text)
        file.checks.append(check)
        file.begin()
        self._watched = {**self._watched, text: file}
        return file

    def start(self) -> None:
        """Look at the files from now on, in a thread that ends with the process or with `end`."""
        if self._watched:
            threading.Thread(target=self._run, name="sources", daemon=True).start()

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD):
            self.look()

    def look(self) -> None:
        """Read what has changed, and log it or a new fault. Never raises."""
        for one in self._watched.values():
            before = one.fault
            if one.look():
                self._log().info("source_read", source=one.name)
            elif one.fault and one.fault != before:
                self._log().error("source_fails", source=one.name, why=one.fault)
        mail_metrics.SOURCES_STALE.child().set(sum(bool(one.fault) for one in self._watched.values()))


def _refuse_cut(meta: bytes, size: int) -> None:
    """ValueError for a Berkeley DB file with fewer pages than its first one says: makemap would read what is left."""
    for order in "<>":
        if len(meta) == _META and unpack_from(f"{order}I", meta, 12)[0] in _MAGIC:
            (page,), (last,) = unpack_from(f"{order}I", meta, 20), unpack_from(f"{order}I", meta, 32)
            if (last + 1) * page > size:
                raise ValueError(f"is cut short: {size:,} bytes, expected {(last + 1) * page:,}; make it again")


def _content(path: str) -> bytes:
    """The bytes of a regular file: a FIFO would wait for a writer. Raises OSError and ValueError."""
    if not S_ISREG(Path(path).stat().st_mode):
        raise ValueError("expected a regular file")
    with Path(path).open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"expected at most {_LARGEST:,} bytes")
    if not data:  # as after a failed write; a list without values is none that somebody means
        raise ValueError("is empty; if that is meant, write a comment into it")
    return data


def _said(error: Exception, path: str) -> str:
    if isinstance(error, PermissionError):
        return f"{path} cannot be read by user {os.geteuid()}: permission denied; let miltscan's user read it"
    if isinstance(error, FileNotFoundError):
        return "makemap is not installed; it comes with sendmail"
    if isinstance(error, OSError):
        return f"{path}: {error.strerror}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"makemap did not end within {_PATIENCE:g} s"
    return f"{path}: {error}" if path not in str(error) else str(error)
