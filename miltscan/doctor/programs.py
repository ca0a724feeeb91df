"""Which program listens where, from /proc (proc(5)): socket tables, open files and command lines. It judges nothing.

Without root only our own processes show their open files; `holders` then finds nobody.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

_LISTEN = "0A"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class RunningProgram:
    """A running program; `started` in seconds since the epoch. sendmail's command line is the title it gives itself."""

    pid: int
    program: str
    command: str
    started: float

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid})"

    @property
    def is_sendmail(self) -> bool:
        """Whether the program is a sendmail, whatever MTA that is of."""
        return self.program.startswith("sendmail")

    @property
    def is_miltscan(self) -> bool:
        """Whether it is ours: the interpreter's name says nothing, its arguments do."""
        return any(PurePath(word).name == "miltscan" for word in self.command.split())


def tcp_inodes(table: str, port: int) -> set[int]:
    """The sockets of /proc/net/tcp or tcp6 that listen on `port`."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[9]) for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}


def unix_inodes(table: str, path: str) -> set[int]:
    """The sockets of /proc/net/unix that listen at `path`, also as PATH.PID.tmp, which HAProxy renames (measured)."""
    names = re.compile(rf"{re.escape(path)}(?:\.\d+\.tmp)?")
    rows = (line.split(maxsplit=7) for line in table.splitlines()[1:])
    return {int(row[6]) for row in rows if len(row) > 7 and names.fullmatch(row[7]) and int(row[3], 16) & 0x10000}  # noqa: PLR2004 - a table of 8 columns, the last one not always there; __SO_ACCEPTCON


def listeners(port: int) -> list[RunningProgram]:
    """Who listens on this TCP port, at any address; an empty list also where nobody does."""
    return holders(_inodes(port))


def listens(port: int) -> bool:
    """Whether anybody does, visible to us or not."""
    return bool(_inodes(port))


def _inodes(port: int) -> set[int]:
    return tcp_inodes(_read("net/tcp"), port) | tcp_inodes(_read("net/tcp6"), port)


def unix_listeners(path: str) -> list[RunningProgram]:
    """Who listens on this unix socket."""
    return holders(unix_inodes(_read("net/unix"), path))


def holders(inodes: set[int]) -> list[RunningProgram]:
    """The processes that have one of these sockets open."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    return [found for pid in _pids() if wanted & set(_open(pid)) and (found := process(pid))] if wanted else []


def _pids() -> list[int]:
    return sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _open(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                yield str(entry.readlink())


def process(pid: int) -> RunningProgram | None:
    """The process, or None where there is none (any more)."""
    command = _read(f"{pid}/cmdline").replace("\0", " ").strip()
    program = _read(f"{pid}/comm").strip()
    if not program:
        return None
    with suppress(OSError):  # without root the name must do
        program = (_PROC / str(pid) / "exe").readlink().name.removesuffix(" (deleted)")
    return RunningProgram(pid, program, command, _started(_read(f"{pid}/stat")))


def titles() -> list[str]:
    """The command lines of all processes."""
    return [_read(f"{pid}/cmdline").replace("\0", " ").strip() for pid in _pids()]


def label(pid: int) -> str:
    """What a security module says of the process, such as `/usr/sbin/clamd (enforce)`; empty where there is none."""
    return _read(f"{pid}/attr/current").strip("\0\n ")


def _started(stat: str) -> float:
    """Field 22, in clock ticks since the boot; the name in field 2 may hold blanks and parentheses."""
    fields = stat.rpartition(")")[2].split()
    boot = re.search(r"^btime (\d+)", _read("stat"), re.MULTILINE)
    if len(fields) < 20 or boot is None:  # noqa: PLR2004 - field 22 is the 20th after the name
        return time.time()
    return int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _read(name: str) -> str:
    """A file below /proc; empty where it cannot be read."""
    try:
        return (_PROC / name).read_text(errors="replace")
    except OSError:
        return ""
