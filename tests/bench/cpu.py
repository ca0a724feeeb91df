"""CPU time, memory and descriptors that a program uses, by the kernel's accounting."""

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
    """Memory of a process in MB (10^6 bytes): resident, highest resident, and with its part of shared pages (PSS)."""

    resident: float
    peak: float
    proportional: float


class LostProcessError(Exception):
    """A process ended during the measurement, so its CPU time is lost."""


def family(pid: int) -> list[int]:
    """Return the process and all its descendants, in order of start."""
    return [pid, *sorted(child.pid for child in psutil.Process(pid).children(recursive=True))]


def memory(pid: int) -> Memory:
    """Return the memory of a process from /proc. LostProcessError if it has ended."""
    try:
        text = "\n".join(Path(f"/proc/{pid}/{name}").read_text() for name in ("smaps_rollup", "status"))
    except OSError as error:
        raise LostProcessError(f"process {pid}: {error.strerror}") from error
    found = dict(line.split(":", 1) for line in text.splitlines()[1:] if ":" in line)
    resident, peak, proportional = (int(found[name].split()[0]) * 1024 / 1e6 for name in ("Rss", "VmHWM", "Pss"))
    return Memory(resident, peak, proportional)


def descriptors(wanted: int) -> int:
    """Try to raise the limit of descriptors to `wanted`; return the limit of this process and those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((max(soft, wanted), max(hard, wanted)), (hard, hard)):  # only root may raise the hard limit
        with suppress(ValueError, PermissionError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            return limits[0]
    return soft


def seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of these processes with all threads, ended ones included. LostProcessError if one has ended.

    clock_getcpuclockid(3) counts nanoseconds, /proc/PID/stat ticks of 10 ms; both add utime and stime.
    """
    return sum(_seconds(pid) for pid in pids)


def _seconds(pid: int) -> float:
    clock = ctypes.c_int()
    error = _libc.clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise LostProcessError(f"process {pid}: {os.strerror(error)}")
    return time.clock_gettime(clock.value)


def processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))
