"""Keeps what an engine tells of its servers, for the commands that look once; the service has its metrics for that."""

from dataclasses import dataclass

from miltscan.core.load import Load
from miltscan.core.verdict import Fault


@dataclass(slots=True)
class ServerRecord:
    """What an engine told of one server."""

    up: bool = False
    why: str = ""
    canary: bool = False
    version: int = 0
    published: float = 0.0

    @property
    def good(self) -> bool:
        """It is up and has proved itself."""
        return self.up and self.canary


class ServerRecords:
    """An `Observer` that keeps what it hears."""

    def __init__(self) -> None:
        self.seen: dict[str, ServerRecord] = {}

    def _of(self, server: str) -> ServerRecord:
        return self.seen.setdefault(server, ServerRecord())

    def server_state(self, _engine: str, server: str, *, up: bool, why: str) -> None:
        """The server went up or down."""
        seen = self._of(server)
        seen.up, seen.why = up, why

    def server_fault(self, _engine: str, server: str, _fault: Fault, detail: str) -> None:
        """An exchange failed."""
        self._of(server).why = detail

    def canary_passed(self, _engine: str, server: str) -> None:
        """The server found the test signature."""
        self._of(server).canary = True

    def signatures(self, _engine: str, server: str, version: int, published: float) -> None:
        """The server's signature database."""
        seen = self._of(server)
        seen.version, seen.published = version, published

    def load(self, _engine: str, _server: str, _load: Load | None) -> None:
        """How busy it is says nothing of whether it is good."""
