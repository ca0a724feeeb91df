"""What each process does every few seconds besides its work: it writes log lines that wait, and measures its usage."""

from miltscan.telemetry import log
from miltscan.telemetry.process import Usage


class Upkeep:
    """The upkeep of this process, under the name of its slot. Make it in the process itself, after `family.attach`."""

    def __init__(self, slot: str) -> None:
        self._usage = Usage(slot)

    def update(self) -> None:
        """Do what is due. It never waits for the reader of the log."""
        log.OUTPUT.flush()
        self._usage.update()
