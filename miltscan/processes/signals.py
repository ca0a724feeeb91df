"""Signals as something to wait for, next to pipes (set_wakeup_fd): the handler does nothing, the main loop acts."""

import os
import signal
from collections.abc import Iterable


class Signals:
    """Collects the signals in `numbers` from now on. Make one in a process, in its main thread."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _do_nothing)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a signal has arrived."""
        return self._reader

    def read(self) -> set[signal.Signals]:
        """Return the signals that arrived since the last call."""
        try:
            return {signal.Signals(number) for number in os.read(self._reader, 4096)}
        except BlockingIOError:
            return set()


def reset(numbers: Iterable[signal.Signals], disposition: signal.Handlers) -> None:
    """In a forked child, forget the parent's pipe and give `numbers` this disposition."""
    signal.set_wakeup_fd(-1)
    for number in numbers:
        signal.signal(number, disposition)


def _do_nothing(_number: int, _frame: object) -> None:
    """Let Python write the signal's number to the pipe, which it does only for a signal with a handler."""
