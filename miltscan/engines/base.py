"""What an engine is, and what it tells about itself; holds no engine."""

from collections.abc import Callable
from typing import Protocol

from miltscan.core.load import Load
from miltscan.core.message import Message
from miltscan.core.verdict import Fault, Verdict

Tick = Callable[[], None]
"""Called at least once a second while an engine works, so that the MTA keeps waiting; never raises."""


class Engine(Protocol):
    """Looks at a message. `name` is a metric label."""

    name: str

    def scan(self, message: Message, deadline: float, tick: Tick) -> Verdict:
        """The verdict by `deadline` (time.monotonic seconds). Never raises: a fault is ERROR, a limit UNSCANNED."""


class Observer(Protocol):
    """Hears what an engine learns of its servers, beside the verdicts; called from any thread, must not block."""

    def server_state(self, engine: str, server: str, *, up: bool, why: str) -> None:
        """The server went up or down (told on a change, and once at start); `why` is a line for the log."""

    def server_fault(self, engine: str, server: str, fault: Fault, detail: str) -> None:
        """One exchange with the server failed (another server may still have given the verdict)."""

    def canary_passed(self, engine: str, server: str) -> None:
        """The server found the test signature just now."""

    def signatures(self, engine: str, server: str, version: int, published: float) -> None:
        """The server's signature database: its version and when it was published (seconds since the epoch)."""

    def load(self, engine: str, server: str, load: Load | None) -> None:
        """How busy the server was just now; None if it does not tell."""
