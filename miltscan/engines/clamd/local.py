"""The clamd behind an address of this host: its process, its configuration file, and the options that it uses.

Found in /proc (proc(5)): a process of that name whose file names the socket. The peer of the socket would be systemd
where systemd opened it. No command is sent to clamd.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from miltscan.core.address import Address, UnixAddress
from miltscan.core.arguments import option_value
from miltscan.core.clamav_conf import read_options
from miltscan.core.mounts import mounted_path

DEFAULT_FILE = Path("/etc/clamav/clamd.conf")
_PROC = Path("/proc")
_DEFAULTS = {
    "StreamMaxLength": "100M",
    "MaxScanSize": "400M",
    "MaxFileSize": "100M",
    "MaxScanTime": "120000",
    "MaxThreads": "10",
    "MaxQueue": "100",
    "AlertExceedsMax": "no",
    "AlertEncrypted": "no",
    "TemporaryDirectory": "/tmp",  # noqa: S108 - clamd's, not ours
}
"""clamd.conf(5) of ClamAV 1.4."""
_CLAMCONF_TIMEOUT = 5.0  # seconds; it takes 0.03


class LocalClamd(NamedTuple):
    """A running clamd and its configuration file."""

    pid: int
    file: Path


class UnseenError(Exception):
    """Something of clamd cannot be seen from here; the text says what, for the log."""


def find_clamd(server: Address) -> LocalClamd:
    """The clamd of this host that serves the address; of several the one that started last. Raises UnseenError."""
    if not (isinstance(server, UnixAddress) or server.is_loopback):
        raise UnseenError("it is on another host")
    found = [one for one in _clamds() if _serves(one.file, server)]
    if not found:
        raise UnseenError("no process of clamd with this socket in its configuration file is visible")
    clamd = max(found, key=lambda one: _started(one.pid))
    if not same_place(_read(clamd.pid, "mountinfo"), clamd.file.resolve()):
        raise UnseenError(f"it sees another {clamd.file} than miltscan: it has mounts of its own")
    return clamd


def file_of(server: Address) -> Path | None:
    """The configuration file of the clamd at `server`; None if it is unknown, for instance on another host.

    Where no process is visible, it is the default file if that names the socket.
    """
    try:
        return find_clamd(server).file
    except UnseenError:
        return DEFAULT_FILE if _serves(DEFAULT_FILE, server) else None


def _clamds() -> Iterator[LocalClamd]:
    """The visible processes of clamd."""
    for process in _PROC.iterdir():
        with suppress(OSError):  # it has ended
            if process.name.isdigit() and (process / "comm").read_text() == "clamd\n":
                command = (process / "cmdline").read_bytes().decode(errors="surrogateescape")
                if not command:  # it has ended, and its parent has not reaped it
                    continue
                words = command.split("\0")
                file = Path(option_value(words, "-c", "--config-file") or DEFAULT_FILE)
                # only a relative name needs the link, which other users may not read
                yield LocalClamd(int(process.name), file if file.is_absolute() else (process / "cwd").readlink() / file)


def _serves(file: Path, server: Address) -> bool:
    """Whether the configuration file names this socket."""
    try:
        options = read_options(file.read_text(errors="replace"))
    except OSError:
        return False
    if isinstance(server, UnixAddress):
        return any(Path(path).resolve() == Path(server.path).resolve() for path in options.get("LocalSocket", []))
    return server.is_loopback and options.get("TCPSocket") == [str(server.port)]


def _started(pid: int) -> int:
    """The start of the process, in ticks since the boot: field 22, the 20th after the name, which may hold anything."""
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0  # noqa: PLR2004 - see above


def _read(pid: int, name: str) -> str:
    """A file of the process; empty if it has ended."""
    try:
        return (_PROC / str(pid) / name).read_text(errors="replace")
    except OSError:
        return ""


def same_place(theirs: str, path: Path) -> bool:
    """Whether the process with this table of mounts finds at `path` (without links) what this process does."""
    try:
        ours = (_PROC / "self" / "mountinfo").read_text(errors="replace")
    except OSError:
        return False
    their_path, our_path = (mounted_path(table, str(path)) for table in (theirs, ours))
    return their_path is not None and our_path is not None and their_path[:2] == our_path[:2]


def effective_options(file: Path) -> dict[str, str]:
    """The options that clamd uses with this file: the defaults of 1.4, the file's own, and what `clamconf` prints.

    clamconf comes last, as it knows the defaults of the installed version. A line "disabled" does not count: clamconf
    prints it both for MaxScanTime 0 and for an absent one, which is 120 s (clamd's log has the value). Raises OSError
    if the file is not readable.
    """
    own = read_options(file.read_text(errors="replace"))
    return _DEFAULTS | {name: values[0] for name, values in own.items()} | _clamconf(file)


def _clamconf(file: Path) -> dict[str, str]:
    """What `clamconf` prints; empty if it is not installed, takes too long, or rejects the file (and exits with 0)."""
    program = shutil.which("clamconf")
    if program is None:
        return {}
    with suppress(OSError, subprocess.TimeoutExpired), tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "clamd.conf").symlink_to(file.resolve())  # it only reads a file of this name
        printed = subprocess.run(  # noqa: S603 - a fixed command without a shell
            [program, f"--config-dir={folder}"],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CLAMCONF_TIMEOUT,
        ).stdout.decode(errors="replace")
        return dict(re.findall(r'^(\w+) = "([^"]*)"', printed, re.MULTILINE))
    return {}
