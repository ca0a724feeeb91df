"""Runs Python code in a child, and kills it or lets the system fail at one of its system calls, by strace."""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.harness import programs
from tests.harness.processes import PATIENCE, wait_until

_CALLS = "openat,mkdir,lseek,pread64,write,pwrite64,fsync,fdatasync,linkat,rename,renameat,unlink,unlinkat,flock,close"
_LINE = re.compile(r"(?:\d+ +)?([a-z0-9]+)\((.*)")
_READY = "ready\n"
_FRAME = """\
import sys
{before}
sys.stdout.write("ready\\n")
sys.stdout.flush()
sys.stdin.readline()
{code}
sys.stdout.flush()
"""


class Call(NamedTuple):
    """A system call: its name, its number among those of the name from 1, arguments and result as strace shows them."""

    name: str
    number: int
    rest: str


class Child(NamedTuple):
    """A child that has ended: exit status (negative: the signal), what it printed, and its system calls."""

    status: int
    printed: str
    calls: tuple[Call, ...]


def run(folder: Path, before: str, code: str, inject: Sequence[str] = ()) -> Child:
    """Run `before`, then under strace `code`, which sees system calls fail as `inject` (strace(1)) says."""
    log = folder / "strace.log"
    log.unlink(missing_ok=True)
    injections = [part for one in inject for part in ("-e", f"inject={one}")]
    with subprocess.Popen(
        [sys.executable, "-c", _FRAME.format(before=before, code=code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=programs.CHECKOUT,
    ) as child:
        assert child.stdin
        assert child.stdout
        assert child.stdout.readline() == _READY
        command: list[str | Path] = [
            programs.find("strace"),
            "-f",
            "-y",
            "-q",
            "-o",
            log,
            "-e",
            f"trace={_CALLS}",
            *injections,
        ]
        command += ["-p", str(child.pid)]
        with subprocess.Popen(command) as tracer:
            wait_until(lambda: _traced(child.pid), PATIENCE, "strace at the child")
            child.stdin.write("\n")
            child.stdin.close()
            printed = child.stdout.read()
            tracer.wait(PATIENCE)
        return Child(child.wait(PATIENCE), printed, _calls(log.read_text()))


def _traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


def _calls(log: str) -> tuple[Call, ...]:
    numbers: Counter[str] = Counter()
    found = []
    for line in log.splitlines():
        if match := _LINE.match(line):
            name, rest = match.groups()
            numbers[name] += 1
            found.append(Call(name, numbers[name], rest))
    return tuple(found)
