"""What a process uses: memory, CPU time and descriptors, read from the kernel. It measures no other process."""

import os
import time
from contextlib import suppress
from pathlib import Path

from miltscan.telemetry import service_metrics

_PAUSE = 5.0  # seconds between two measurements
_PAGE = os.sysconf("SC_PAGESIZE")
_SELF = Path("/proc/self")


class Usage:
    """The usage of this process, under the name of its slot. Make it in the process itself, after `family.attach`."""

    def __init__(self, slot: str) -> None:
        self._slot = slot
        self._cpu = 0.0
        self._due = 0.0

    def update(self) -> None:
        """Measure again if the last measurement is old. Never raises: where /proc is hidden there are no values."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _PAUSE
        before, self._cpu = self._cpu, time.process_time()
        service_metrics.UPKEEP.child(self._slot).set(time.time())
        service_metrics.CPU.child(self._slot).inc(self._cpu - before)
        with suppress(OSError):
            service_metrics.RESIDENT.child(self._slot).set(int((_SELF / "statm").read_text().split()[1]) * _PAGE)
            service_metrics.DESCRIPTORS.child(self._slot).set(len(os.listdir(_SELF / "fd")) - 1)  # noqa: PTH208 - half the cost
