"""Turns with what only one thread of a process may hold, and the clock of a reader. The MTA has signs of life."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from miltscan.engines.base import Tick
from miltscan.scanning.files import COPIED

_TICK = 0.5  # seconds between two progress messages to the MTA
_STALE = 0.01  # seconds for which the CPU time is not asked for again
_AT_ONCE = nullcontext()
_mapped = threading.Lock()
_archive = threading.Lock()
"""Held while an archive is opened, so that a flood of them leaves the host to others."""


def turn(size: int, tick: Tick) -> AbstractContextManager[None]:
    """Wait for one's turn with so many bytes, if they are mapped: each reader has a message in memory meanwhile."""
    return _AT_ONCE if size <= COPIED else _mapped_turn(tick)


@contextmanager
def _mapped_turn(tick: Tick) -> Iterator[None]:
    while not _mapped.acquire(timeout=_TICK):
        tick()
    try:
        yield
    finally:
        _mapped.release()


@contextmanager
def archive_turn(deadline: float, tick: Tick) -> Iterator[bool]:
    """Whether it is this thread's turn to open an archive before the deadline (time.monotonic seconds)."""
    free = _archive.acquire(timeout=0)
    try:
        while not free and time.monotonic() < deadline:
            free = _archive.acquire(timeout=_TICK)
            tick()  # raises if the MTA is gone, also when the turn has just come
        yield free
    finally:
        if free:
            _archive.release()


def ticking_clock(tick: Tick) -> Callable[[], float]:
    """CPU seconds of this thread, at most `_STALE` ago; the MTA has a sign of life meanwhile."""
    looked = time.monotonic()
    due, used = looked + _TICK, time.thread_time()

    def clock() -> float:
        nonlocal due, looked, used
        if (now := time.monotonic()) < looked + _STALE:  # a system call less: CPU time never runs ahead of elapsed time
            return used
        if now >= due:
            due = now + _TICK
            tick()
        looked, used = now, time.thread_time()
        return used

    return clock
