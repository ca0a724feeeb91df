"""Signals as something to wait for beside pipes: the handler does nothing, the loop acts (a pipe by set_wakeup_fd)."""

import os
import signal
from collections.abc import Iterable


class Signals:
    """Collects `numbers` from now on. One a process, in its main thread."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _note)

    def fileno(self) -> int:
        """Readable when a signal has come."""
        return self._reader

    def read(self) -> set[signal.Signals]:
        """The signals that came since the last call."""
        try:
            return {signal.Signals(number) for number in os.read(self._reader, 4096)}
        except BlockingIOError:
            return set()


def reset(numbers: Iterable[signal.Signals], disposition: signal.Handlers) -> None:
    """In a forked child: forget the parent's pipe and give `numbers` this disposition."""
    signal.set_wakeup_fd(-1)
    for number in numbers:
        signal.signal(number, disposition)


def _note(_number: int, _frame: object) -> None:
    """Python writes the number to the pipe; without a handler it would not."""
