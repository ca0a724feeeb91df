"""The engines that a worker runs: what a reload starts, keeps and ends, and what their servers are known to use."""

from collections.abc import Sequence
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from miltscan.config.engines import EngineSettings
from miltscan.core.verdict import Fault, Limit
from miltscan.engines.base import ServedEngine, at_once
from miltscan.scanning.assemble_engines import engine_for
from miltscan.telemetry import engine_metrics
from miltscan.telemetry.observer import EngineObserver


class _Running(NamedTuple):
    chosen: EngineSettings
    engine: ServedEngine
    observer: EngineObserver


class EngineSet:
    """The engines in use, for one thread. Each keeps up to `sessions` connections to a server open between scans."""

    def __init__(self, sessions: int) -> None:
        self._sessions = sessions
        self._running: dict[str, _Running] = {}

    def follow(self, chosen: Sequence[EngineSettings], log: FilteringBoundLogger) -> list[ServedEngine]:
        """The engines of these settings, started. One whose settings are unchanged goes on with its connections.

        The others end as soon as the last message that was begun with them is done.
        """
        before = self._running
        for one in before.values():
            one.observer.log = log
            if one.chosen not in chosen:
                one.observer.retire()
        self._running = {
            new.name: old if (old := before.get(new.name)) and old.chosen == new else self._made(new, log)
            for new in chosen
        }
        at_once([one.engine.start for name, one in self._running.items() if one is not before.get(name)])
        servers = {pair for one in self._running.values() for pair in one.observer.servers}
        for name, one in before.items():
            one.observer.forget(one.observer.servers - servers)
            if name not in self._running:
                engine_metrics.ENGINE_REQUIRED.forget(name)
        return [one.engine for one in self._running.values()]

    def _made(self, chosen: EngineSettings, log: FilteringBoundLogger) -> _Running:
        observer = EngineObserver(log)
        engine = engine_for(chosen, observer, self._sessions)
        engine_metrics.ENGINE_REQUIRED.child(chosen.name).set(chosen.required)
        if not chosen.required:
            for reason in (*Limit, *Fault):  # with 0: a counter that appears with its first event shows no increase
                engine_metrics.ENGINE_MISSING.child(chosen.name, reason)
        return _Running(chosen, engine, observer)

    def version(self, engine: str, server: str) -> int:
        """The version of the signature database that the server of the engine uses; 0 where it is unknown."""
        running = self._running.get(engine)
        return running.observer.version(engine, server) if running else 0
