"""What the tests of the clamd engine share: a message in memory, an observer that remembers, a wait for a condition."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from miltscan.core.load import Load
from miltscan.core.message import PREFACE, Client, Envelope, Message
from miltscan.core.verdict import Fault

PATIENCE = 60  # seconds until a test fails


@dataclass
class Memory:
    """A content in a memory file."""

    descriptor: int
    retained: bool = False

    def retain(self) -> None:
        """Remember."""
        self.retained = True

    def fileno(self) -> int:
        """The descriptor."""
        return self.descriptor


@contextmanager
def message(data: bytes) -> Iterator[Message]:
    """A message with this content, preface in front."""
    descriptor = os.memfd_create("test")
    try:
        os.write(descriptor, PREFACE + data)
        yield Message(
            Client("c", "192.0.2.1"), Envelope(b"s@example.test"), "q", b"", (), len(data), Memory(descriptor)
        )
    finally:
        os.close(descriptor)


@dataclass
class Memo:
    """An observer that records all reports."""

    states: list[tuple[str, bool, str]] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    versions: list[tuple[str, int, float]] = field(default_factory=list)

    loads: list[tuple[str, Load | None]] = field(default_factory=list)
    degraded: list[tuple[str, str]] = field(default_factory=list)
    unwatched: list[tuple[str, str]] = field(default_factory=list)

    def server_degraded(self, engine: str, server: str, why: str) -> None:
        """Remember."""
        assert engine == "clamd"
        self.degraded.append((server, why))

    def server_unwatched(self, engine: str, server: str, why: str) -> None:
        """Remember."""
        assert engine == "clamd"
        self.unwatched.append((server, why))

    def load(self, engine: str, server: str, load: Load | None) -> None:
        """Remember."""
        assert engine == "clamd"
        self.loads.append((server, load))

    def server_state(self, engine: str, server: str, *, up: bool, why: str) -> None:
        """Remember."""
        assert engine == "clamd"
        self.states.append((server, up, why))

    def server_fault(self, engine: str, server: str, fault: Fault, detail: str) -> None:
        """Remember."""
        assert engine == "clamd"
        assert detail
        self.faults.append((server, fault))

    def canary_passed(self, engine: str, server: str) -> None:
        """Remember."""
        assert engine == "clamd"
        self.passed.append(server)

    def signatures(self, engine: str, server: str, version: int, published: float) -> None:
        """Remember."""
        assert engine == "clamd"
        self.versions.append((server, version, published))


def until(condition: Callable[[], object], timeout: float = PATIENCE) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def soon() -> float:
    """A deadline that no test should reach."""
    return time.monotonic() + PATIENCE


def nothing() -> None:
    """A tick that does nothing."""
