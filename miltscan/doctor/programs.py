"""Which program listens on which socket, from /proc (proc(5)): socket tables, open files and command lines.

Without root only this user's processes show their open files; `holders` then finds none of the others.
"""

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from miltscan.core.address import Address, UnixAddress
from miltscan.processes.listening import port_inodes

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class RunningProgram:
    """A running program; `started` in seconds since the epoch. sendmail writes its own title as the command line."""

    pid: int
    program: str
    command: str
    started: float

    def __str__(self) -> str:
        return f"{self.program} (pid {self.pid})"

    @property
    def is_sendmail(self) -> bool:
        """Whether the program is a sendmail, of any MTA."""
        return self.program.startswith("sendmail")

    @property
    def is_miltscan(self) -> bool:
        """Whether it is miltscan, by the arguments: the program itself is the interpreter."""
        return any(PurePath(word).name == "miltscan" for word in self.command.split())


def unix_inodes(table: str, path: str) -> set[int]:
    """The sockets in the table /proc/net/unix that listen at `path`, or at PATH.PID.tmp, which HAProxy renames to it.

    tests/unit/doctor/test_programs.py has a line of a running HAProxy.
    """
    names = re.compile(rf"{re.escape(path)}(?:\.\d+\.tmp)?")
    rows = (line.split(maxsplit=7) for line in table.splitlines()[1:])
    return {int(row[6]) for row in rows if len(row) > 7 and names.fullmatch(row[7]) and int(row[3], 16) & 0x10000}  # noqa: PLR2004 - a table of 8 columns, the last one not always there; __SO_ACCEPTCON


def listeners(port: int) -> list[RunningProgram]:
    """The visible programs that listen on this TCP port, at any address."""
    return holders(port_inodes(port))


def listeners_at(address: Address) -> list[RunningProgram]:
    """The visible programs that listen on this socket of this host; the host of a TCP address does not matter."""
    if isinstance(address, UnixAddress):
        return holders(unix_inodes(_read("net/unix"), address.path))
    return listeners(address.port)


def holders(inodes: set[int]) -> list[RunningProgram]:
    """The processes that have one of these sockets open."""
    names, found = {f"socket:[{inode}]" for inode in inodes}, []
    for pid in _pids() if names else ():
        with suppress(OSError):  # it has ended, or it is another user's
            folder = f"{_PROC}/{pid}/fd"
            for name in os.listdir(folder):  # noqa: PTH208 - of a busy host's thousands, a Path each takes most of the time
                with suppress(OSError):
                    if os.readlink(f"{folder}/{name}") in names:  # noqa: PTH115 - as above
                        found.append(process(pid))
                        break
    return [one for one in found if one]


def _pids() -> list[int]:
    return sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def process(pid: int) -> RunningProgram | None:
    """The process; None if it does not exist (any more)."""
    command = _read(f"{pid}/cmdline").replace("\0", " ").strip()
    program = _read(f"{pid}/comm").strip()
    if not program:
        return None
    with suppress(OSError):  # without root only the name in comm, of 15 characters, is readable
        program = (_PROC / str(pid) / "exe").readlink().name.removesuffix(" (deleted)")
    # Field 22 of stat is the start in clock ticks since the boot; the name in field 2 may contain blanks and brackets.
    fields = _read(f"{pid}/stat").rpartition(")")[2].split()
    boot = re.search(r"^btime (\d+)", _read("stat"), re.MULTILINE)
    if len(fields) < 20 or boot is None:  # noqa: PLR2004 - field 22 is the 20th after the name
        return RunningProgram(pid, program, command, time.time())
    return RunningProgram(pid, program, command, int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def titles() -> list[str]:
    """The command lines of all processes."""
    return [_read(f"{pid}/cmdline").replace("\0", " ").strip() for pid in _pids()]


def label(pid: int) -> str:
    """The label of a security module, such as `/usr/sbin/clamd (enforce)`; empty without one."""
    return _read(f"{pid}/attr/current").strip("\0\n ")


def _read(name: str) -> str:
    """A file below /proc; empty if it is not readable."""
    try:
        return (_PROC / name).read_text(errors="replace")
    except OSError:
        return ""
