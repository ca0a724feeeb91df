"""What each process does every few seconds besides its work: it writes what waits, and measures its usage."""

from miltscan.telemetry import log, service_metrics
from miltscan.telemetry.countfile import keep_all
from miltscan.telemetry.process import Usage


class Upkeep:
    """The upkeep of this process, under the name of its slot. Make it in the process itself, after `family.attach`.

    `fault` is why the whole service does not count in the configured folder.
    """

    def __init__(self, slot: str, fault: str = "") -> None:
        self._usage = Usage(slot)
        self._service_fault = fault
        self._in_memory = False

    def update(self) -> None:
        """Do what is due: write lines of the log and counts that wait. A full disk or a slow reader ends nothing."""
        log.OUTPUT.flush()
        self._usage.update()
        fault = self._service_fault or keep_all()
        if bool(fault) is not self._in_memory:
            self._in_memory = bool(fault)
            service_metrics.METRICS_IN_MEMORY.child().set(self._in_memory)
            if fault:
                log.logger().error("metrics_in_memory", why=fault)
            else:
                log.logger().info("metrics_on_disk")
