"""Behaviours of the fake clamd for tests of the daemon: scans that wait for each other or for the test."""

import threading
from dataclasses import dataclass, field

from tests.fakes.clamd_lies import Scan


@dataclass(slots=True)
class Together:
    """Answers OK as soon as `wanted` scans are in progress at the same time, and none before."""

    wanted: int
    inside: int = 0
    all_inside: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, scan: Scan) -> None:
        """Take the content and wait for the others."""
        scan.content()
        with self._lock:
            self.inside += 1
            if self.inside >= self.wanted:
                self.all_inside.set()
        if scan.wait(self.all_inside):
            scan.answer(b"OK")
