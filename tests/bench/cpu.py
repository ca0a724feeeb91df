"""What a program uses, by the kernel's own accounting: CPU time, memory and descriptors."""

import ctypes
import os
import resource
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one process, in MB (10^6 bytes): resident now, at most so far, and its share of what several have (PSS)."""

    resident: float
    peak: float
    proportional: float


class LostProcessError(Exception):
    """A process ended while it was measured, and took its CPU time with it."""


def family(pid: int) -> list[int]:
    """The process and all that descend from it, in order of start."""
    return [pid, *sorted(child.pid for child in psutil.Process(pid).children(recursive=True))]


def memory(pid: int) -> Memory:
    """What /proc says of a process. LostProcessError if it is gone."""
    try:
        text = "\n".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("smaps_rollup", "status"))
    except OSError as error:
        raise LostProcessError(f"process {pid}: {error.strerror}") from error
    found = dict(line.split(":", 1) for line in text.splitlines()[1:] if ":" in line)
    resident, peak, proportional = (int(found[name].split()[0]) * 1024 / 1e6 for name in ("Rss", "VmHWM", "Pss"))
    return Memory(resident, peak, proportional)


def descriptors(wanted: int) -> int:
    """How many descriptors this process and those it starts may have open, after an attempt to make it `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((max(soft, wanted), max(hard, wanted)), (hard, hard)):  # to raise the hard limit is root's only
        with suppress(ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            return limits[0]
    return soft


def seconds(pids: Iterable[int]) -> float:
    """CPU time so far of these processes with all of their threads, ended ones too. LostProcessError if one is gone.

    clock_getcpuclockid(3) gives nanoseconds where /proc/PID/stat counts in ticks of 10 ms; both are utime and stime.
    """
    return sum(_seconds(pid) for pid in pids)


def _seconds(pid: int) -> float:
    clock = ctypes.c_int()
    error = _libc.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise LostProcessError(f"process {pid}: {os.strerror(error)}")
    return time.clock_gettime(clock.value)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
