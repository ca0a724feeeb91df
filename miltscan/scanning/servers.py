"""Keeps what engines report about their servers, for the commands that run once; the service has its metrics."""

from collections.abc import Iterator
from dataclasses import dataclass

from miltscan.core.load import Load
from miltscan.core.verdict import Fault


@dataclass(slots=True)
class ServerRecord:
    """What an engine reported about one server."""

    up: bool = False
    why: str = ""
    canary: bool = False
    version: int = 0
    published: float = 0.0
    unseen: str = ""

    @property
    def good(self) -> bool:
        """Whether it is up and has passed its self-test."""
        return self.up and self.canary


class ServerRecords:
    """An `Observer` that keeps a record for each server of each engine."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], ServerRecord] = {}

    def of(self, engine: str, server: str) -> ServerRecord:
        """The record of one server; an empty one if its engine has reported nothing."""
        return self._records.setdefault((engine, server), ServerRecord())

    def down(self) -> Iterator[tuple[str, str]]:
        """Each server that is not up, as engine and address, and why."""
        for (engine, server), record in self._records.items():
            if not record.up:
                yield f"{engine} {server}", record.why

    def versions(self) -> frozenset[int]:
        """The versions of the signature databases of the servers that are up, as far as they are known."""
        return frozenset(record.version for record in self._records.values() if record.up and record.version)

    def server_state(self, engine: str, server: str, *, up: bool, why: str) -> None:
        """The server went up or down."""
        record = self.of(engine, server)
        record.up, record.why = up, why

    def server_fault(self, engine: str, server: str, _fault: Fault, detail: str) -> None:
        """An exchange failed."""
        self.of(engine, server).why = detail

    def server_degraded(self, engine: str, server: str, why: str) -> None:
        """A message found no room."""
        self.of(engine, server).why = why

    def server_unwatched(self, engine: str, server: str, why: str) -> None:
        """Its folder cannot be seen, or can."""
        self.of(engine, server).unseen = why

    def canary_passed(self, engine: str, server: str) -> None:
        """The server detected the test signature."""
        self.of(engine, server).canary = True

    def signatures(self, engine: str, server: str, version: int, published: float) -> None:
        """The server's signature database."""
        record = self.of(engine, server)
        record.version, record.published = version, published

    def load(self, _engine: str, _server: str, _load: Load | None) -> None:
        """Not kept: the load of a server does not show whether it works."""
