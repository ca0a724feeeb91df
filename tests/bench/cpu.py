"""What a program uses, by the kernel's own accounting: CPU time and resident memory."""

import ctypes
import os
import time
from collections.abc import Iterable

import psutil

_libc = ctypes.CDLL(None)


class LostProcessError(Exception):
    """A process ended while it was measured, and took its CPU time with it."""


def family(pid: int) -> list[int]:
    """The process and all that descend from it, in order of start."""
    return [pid, *sorted(child.pid for child in psutil.Process(pid).children(recursive=True))]


def resident(pid: int) -> float:
    """Resident memory of one process in MiB, what it shares with others included."""
    return float(psutil.Process(pid).memory_info().rss) / 1024 / 1024


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
