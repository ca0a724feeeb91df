"""Records what an engine learns about its servers: as metrics, and as a log line when something changed."""

import threading
import time
from collections.abc import Iterable

from prometheus_client import Gauge
from structlog.typing import FilteringBoundLogger

from miltscan.core.load import Load
from miltscan.core.verdict import Fault
from miltscan.telemetry import engine_metrics
from miltscan.telemetry.family import Family

_STATES = (
    engine_metrics.ENGINE_UP,
    engine_metrics.ENGINE_DEGRADED,
    engine_metrics.ENGINE_WATCHED,
    engine_metrics.CANARY_PASSED,
    engine_metrics.SIGNATURES,
    engine_metrics.SIGNATURES_PUBLISHED,
    engine_metrics.CLAMD_QUEUE,
    engine_metrics.CLAMD_THREADS,
)


class EngineObserver:
    """An `engines.base.Observer`. Any thread may call its methods, and only the log can block them.

    `log` may be replaced at any time. `servers` are the pairs of engine and server that reported a state.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self.log = log
        self.servers: set[tuple[str, str]] = set()
        self._retired = False
        self._gauges = threading.Lock()
        self._versions: dict[tuple[str, str], int] = {}

    def retire(self) -> None:
        """Stop setting gauges, as another engine has taken over; faults are still counted and logged."""
        with self._gauges:
            self._retired = True

    def forget(self, servers: Iterable[tuple[str, str]]) -> None:
        """End the gauges of these pairs of engine and server, which are no longer in the configuration."""
        for engine, server in servers:
            for family in _STATES:
                family.forget_all(engine, server)

    def version(self, engine: str, server: str) -> int:
        """Return the version of the server's signature database; 0 while it is unknown."""
        return self._versions.get((engine, server), 0)

    def server_state(self, engine: str, server: str, *, up: bool, why: str) -> None:
        """Record that the server went up or down."""
        self.servers.add((engine, server))
        self._set(engine_metrics.ENGINE_UP, (engine, server), up)
        if not engine_metrics.ENGINE_DEGRADED.knows(engine, server):
            self._set(engine_metrics.ENGINE_DEGRADED, (engine, server), 0)
        if up:
            self.log.info("engine_up", engine=engine, server=server, why=why)
        else:
            self.log.error("engine_down", engine=engine, server=server, why=why)

    def server_fault(self, engine: str, server: str, fault: Fault, detail: str) -> None:
        """Count a failed exchange. Its line has level debug, as a dead server would cause one for each message."""
        engine_metrics.ENGINE_ERRORS.child(engine, fault).inc()
        self.log.debug("engine_fault", engine=engine, server=server, reason=fault, detail=detail)

    def server_degraded(self, engine: str, server: str, why: str) -> None:
        """Record that the server had no room for a message, or has room again."""
        self._set(engine_metrics.ENGINE_DEGRADED, (engine, server), bool(why))
        if why:
            self.log.error("engine_degraded", engine=engine, server=server, why=why)
        else:
            self.log.info("engine_restored", engine=engine, server=server)

    def server_unwatched(self, engine: str, server: str, why: str) -> None:
        """Record that the server's temporary folder cannot be seen, or can."""
        self._set(engine_metrics.ENGINE_WATCHED, (engine, server), not why)
        if why:
            self.log.info("engine_unwatched", engine=engine, server=server, why=why)

    def canary_passed(self, engine: str, server: str) -> None:
        """Record that the server has just passed its self-test."""
        self._set(engine_metrics.CANARY_PASSED, (engine, server), time.time())

    def signatures(self, engine: str, server: str, version: int, published: float) -> None:
        """Record the server's signature database; log a line only when its version changed."""
        self._set(engine_metrics.SIGNATURES, (engine, server), version)
        self._set(engine_metrics.SIGNATURES_PUBLISHED, (engine, server), published)
        if self._versions.get((engine, server)) != version:
            self._versions[engine, server] = version
            self.log.info("signatures", engine=engine, server=server, version=version, published=published)

    def load(self, engine: str, server: str, load: Load | None) -> None:
        """Record the load of the server; None ends its gauges."""
        if load is None:
            if not self._retired:
                engine_metrics.CLAMD_QUEUE.forget_all(engine, server)
                engine_metrics.CLAMD_THREADS.forget_all(engine, server)
            return
        self._set(engine_metrics.CLAMD_QUEUE, (engine, server), load.queue)
        for state in ("live", "idle", "max"):
            self._set(engine_metrics.CLAMD_THREADS, (engine, server, state), getattr(load, state))

    def _set(self, family: Family[Gauge], labels: tuple[str, ...], value: float) -> None:
        with self._gauges:  # a self-test that ends during `retire` must not bring back a gauge that `forget` ends
            if not self._retired:
                family.child(*labels).set(value)
