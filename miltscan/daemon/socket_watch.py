"""Notices when the file of a milter socket is removed, moved or replaced, and binds the socket again.

Without it every message would receive 451 until a restart. A socket of the service manager is not ours to bind: then
the service stops, so that the manager can open it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from structlog.typing import FilteringBoundLogger

from miltscan.config.tables import MilterSettings
from miltscan.daemon.sockets import REMEDY, MilterSocket
from miltscan.errors import StartError
from miltscan.telemetry import service_metrics


@dataclass(slots=True)
class SocketWatch:
    """The sockets under watch. `renewed` is called with one that was bound again, `stop` if the service must end."""

    sockets: Sequence[MilterSocket]
    settings: MilterSettings
    log: FilteringBoundLogger
    renewed: Callable[[MilterSocket], None]
    stop: Callable[[], None]
    gave_up: bool = False
    _reasons: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """Count each socket as bound."""
        for one in self.sockets:
            service_metrics.SOCKET_BOUND.child(one.key).set(1)
            service_metrics.PACKETS_DROPPED.child(one.key).inc(0)

    def look(self) -> None:
        """Compare each file with the one that was bound, and count dropped packets: a look costs some microseconds."""
        for one in self.sockets:
            service_metrics.PACKETS_DROPPED.child(one.key).inc(one.newly_dropped())
            why = one.lost
            if why:
                self._lost(one, why)
            elif one.key in self._reasons:  # it was moved, and is back
                self._found(one)

    def _lost(self, one: MilterSocket, why: str) -> None:
        former = None
        if one.passed:
            why = f"{why}. {REMEDY}"
        else:
            try:
                former = one.renew(self.settings)
            except StartError as error:
                why = f"{why}, and it cannot be bound again: {error}"
        if self._reasons.get(one.key) != why:
            self._reasons[one.key] = why
            service_metrics.SOCKET_BOUND.child(one.key).set(0)
            self.log.error("socket_lost", socket=one.key, address=str(one.address), why=why)
        if former:
            self.renewed(one)
            former.close()
            self._found(one)
        elif one.passed and not self.gave_up:
            self.gave_up = True
            self.stop()

    def _found(self, one: MilterSocket) -> None:
        del self._reasons[one.key]
        service_metrics.SOCKET_BOUND.child(one.key).set(1)
        self.log.info("socket_bound", socket=one.key, address=str(one.address))
