"""Scans messages of the quarantine again, one at a time, over connections of its own; it decides and stores nothing.

It has its own engines, which test their servers only when they are asked to: between two updates of the signatures
they cost nothing, and nothing that happens here changes what the workers think of a server.
"""

from collections.abc import Collection
from typing import BinaryIO

from miltscan.config.settings import Settings
from miltscan.core.report import Report
from miltscan.engines.base import at_once
from miltscan.scanning.assemble import pipeline_for
from miltscan.scanning.assemble_engines import engine_for
from miltscan.scanning.pipeline import scan_slots
from miltscan.scanning.servers import ServerRecords
from miltscan.scanning.stored import scan_stored


class Rescanner:
    """The engines, limits and policy of these settings, without anti-spam engines."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings = settings.without_filters()
        self._records = ServerRecords()
        self._engines = [engine_for(chosen, self._records) for chosen in settings.engines]
        self._pipeline = pipeline_for(settings, self._engines, scan_slots(1), "localhost")

    def look(self) -> Collection[int]:
        """Test each server once; the versions of the signature databases in use, as far as they are known."""
        at_once([engine.probe for engine in self._engines])
        return self._records.versions()

    def down(self) -> list[str]:
        """The servers that did not pass their last test, and why, a line each."""
        return [f"{server}: {why}" for server, why in self._records.down()]

    def scan(self, message: BinaryIO) -> Report:
        """The report on a message. Raises SpoolError if it cannot be kept meanwhile, and OSError."""
        return scan_stored(message, self._settings, self._pipeline)

    def version(self, report: Report) -> int:
        """The version of the signature database that the deciding verdict is from; 0 if unknown."""
        return self._records.of(report.verdict.engine, report.verdict.server).version
