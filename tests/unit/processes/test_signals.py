"""Signals as something to wait for."""

import fcntl
import os
import select
import signal
from collections.abc import Iterator

import pytest

from miltscan.processes.signals import Signals, reset

USED = (signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def signals() -> Iterator[Signals]:
    """Return a collector of two signals that nothing else uses; handlers are restored afterwards."""
    before = {number: signal.getsignal(number) for number in USED}
    wakeup = signal.set_wakeup_fd(-1)
    collected = Signals(USED)
    writer = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    yield collected
    signal.set_wakeup_fd(wakeup)
    for number, handler in before.items():
        signal.signal(number, handler)
    os.close(collected.fileno())
    os.close(writer)


def _readable(signals: Signals, seconds: float) -> bool:
    return bool(select.select([signals], [], [], seconds)[0])


def test_nothing_came(signals: Signals) -> None:
    """Reading does not block without a signal."""
    assert not _readable(signals, 0)
    assert signals.read() == set()


def test_each_signal_is_returned_once(signals: Signals) -> None:
    """Each signal since the last call is returned once, however often it arrived."""
    for number in (*USED, signal.SIGUSR1):
        os.kill(os.getpid(), number)
    assert _readable(signals, 10)
    assert signals.read() == set(USED)
    assert not _readable(signals, 0)


def test_flood_neither_blocks_nor_fails(signals: Signals) -> None:
    """With more signals than the pipe holds, no kind of signal is lost."""
    fcntl.fcntl(signals.fileno(), fcntl.F_SETPIPE_SZ, 4096)
    for _ in range(5_000):
        signal.raise_signal(signal.SIGUSR1)
    seen: set[signal.Signals] = set()
    while _readable(signals, 0):
        seen |= signals.read()
    assert seen == {signal.SIGUSR1}


def test_reset_forgets_the_pipe(signals: Signals) -> None:
    """A child's signals do not reach its parent's pipe."""
    reset([signal.SIGUSR1], signal.SIG_IGN)
    for number in USED:  # the second still has its handler
        os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    assert not _readable(signals, 0)
