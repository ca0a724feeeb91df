"""Threads of a process that do a kind of work again and again; they know nothing of the work.

The main thread only gives signs of life and obeys orders, so that a disk, a database or a server that does not answer
delays neither a reload nor a stop.
"""

import threading
from collections.abc import Callable

from miltscan.core.report import Place
from miltscan.telemetry import log, service_metrics

_AFTER_A_BUG = 30.0  # seconds until work that raised is tried again

Work = Callable[[], float]
"""Does what is due, and returns the seconds until it must be called again."""


class Job:
    """A thread that calls `work` until `end`. What it raises is a bug: counted at `place`, logged, and tried again."""

    def __init__(self, name: str, work: Work, place: Place) -> None:
        self._work = work
        self._place = place
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Let it look at once what is due."""
        self._wake.set()

    def end(self) -> None:
        """Call the work no more."""
        self._ended = True
        self._wake.set()

    def join(self, patience: float) -> None:
        """Wait for the present call, up to `patience` seconds: the thread does not outlive the process."""
        self._thread.join(patience)

    def _run(self) -> None:
        while not self._ended:
            self._wake.clear()
            self._wake.wait(self._call())

    def _call(self) -> float:
        try:
            return self._work()
        except Exception as error:  # noqa: BLE001 - see above
            service_metrics.EXCEPTIONS.child(self._place).inc()
            log.logger().error("exception", where=self._place, exc_info=error)
            return _AFTER_A_BUG
