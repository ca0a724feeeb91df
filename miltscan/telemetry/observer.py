"""Turns what an engine learns of its servers into metrics, and into a log line where something changed."""

import time

from structlog.typing import FilteringBoundLogger

from miltscan.core.verdict import Fault
from miltscan.telemetry import metrics


class EngineObserver:
    """An `engines.base.Observer`. Its methods are called from any thread and block on nothing but the log."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._versions: dict[tuple[str, str], int] = {}

    def server_state(self, engine: str, server: str, *, up: bool, why: str) -> None:
        """The server went up or down."""
        metrics.ENGINE_UP.child(engine, server).set(up)
        if up:
            self._log.info("engine_up", engine=engine, server=server, why=why)
        else:
            self._log.error("engine_down", engine=engine, server=server, why=why)

    def server_fault(self, engine: str, server: str, fault: Fault, detail: str) -> None:
        """One exchange failed: counted, and no line by default, for a dead server would bring one per message."""
        metrics.ENGINE_ERRORS.child(engine, fault).inc()
        self._log.debug("engine_fault", engine=engine, server=server, reason=fault, detail=detail)

    def canary_passed(self, engine: str, server: str) -> None:
        """The server found the test signature just now."""
        metrics.CANARY_PASSED.child(engine, server).set(time.time())

    def signatures(self, engine: str, server: str, version: int, published: float) -> None:
        """The server's signature database; a line only when its version is another one."""
        metrics.SIGNATURES.child(server).set(version)
        metrics.SIGNATURES_PUBLISHED.child(server).set(published)
        if self._versions.get((engine, server)) != version:
            self._versions[engine, server] = version
            self._log.info("signatures", engine=engine, server=server, version=version, published=published)
