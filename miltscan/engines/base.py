"""What an engine is, and what it reports of its servers; holds no engine."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from miltscan.core.load import Load
from miltscan.core.message import Message
from miltscan.core.verdict import Fault, Verdict

Tick = Callable[[], None]
"""Called at least once a second while an engine works, so that the MTA keeps waiting.

Raises MtaGoneError if the MTA has gone: the engine ends its exchange and lets the error pass.
"""


class Engine(Protocol):
    """Looks at a message."""

    @property
    def name(self) -> str:
        """As in the configuration: unique, a metric label."""

    @property
    def required(self) -> bool:
        """Whether a message can be clean only by its verdict."""

    def scan(self, message: Message, deadline: float, tick: Tick) -> Verdict:
        """The verdict by `deadline` (time.monotonic seconds). Never raises: a fault is ERROR, a limit UNSCANNED."""


class ServedEngine(Engine, Protocol):
    """An engine with servers that it tests. Either `start` for a service, or `probe` for a command that scans once."""

    def start(self) -> None:
        """Test each server once, then keep testing them in threads that end with the engine."""

    def probe(self) -> None:
        """Test each server once."""


class Observer(Protocol):
    """Is notified of what an engine learns about its servers; called from any thread, must not block."""

    def server_state(self, engine: str, server: str, *, up: bool, why: str) -> None:
        """The server went up or down (reported at start and on each change); `why` is a line for the log."""

    def server_fault(self, engine: str, server: str, fault: Fault, detail: str) -> None:
        """One exchange with the server failed (another server may still have given the verdict)."""

    def server_degraded(self, engine: str, server: str, why: str) -> None:
        """The server lately had no room for a message, for the reason `why`; empty when it has room again."""

    def server_unwatched(self, engine: str, server: str, why: str) -> None:
        """`why` is why the server's folder cannot be seen, so that only self-tests show its room; empty if it can."""

    def canary_passed(self, engine: str, server: str) -> None:
        """The server detected the test signature just now."""

    def signatures(self, engine: str, server: str, version: int, published: float) -> None:
        """The server's signature database: its version and when it was published (seconds since the epoch)."""

    def load(self, engine: str, server: str, load: Load | None) -> None:
        """How busy the server was just now; None if unknown."""


def at_once(steps: Sequence[Callable[[], None]]) -> None:
    """Take the steps at the same time, each in a thread, and wait for all of them; raises what one of them raises."""
    with ThreadPoolExecutor(max(1, len(steps))) as pool:
        for step in [pool.submit(step) for step in steps]:
            step.result()
