"""The bounds of reading containers, and what is left of them. A bound that is met has a name, and is never silent.

One `Budget` belongs to one message: an archive inside an archive spends from it as well. It is the only object here
that changes.
"""

from collections.abc import Callable
from enum import StrEnum
from math import inf
from typing import NamedTuple

MIB = 1024 * 1024


class ContainerLimit(StrEnum):
    """The bounds by name: what exceeded one is not scanned completely."""

    MEMBERS = "members"
    OUTPUT = "output"
    RATIO = "ratio"
    FILE = "file"
    MEMORY = "memory"
    DEPTH = "depth"
    TIME = "time"


def no_clock() -> float:
    """A clock that stands still, for bounds without a deadline."""
    return 0.0


class ContainerBounds(NamedTuple):
    """How much is read of the containers of one message. Sizes are in bytes.

    `file` is clamd's MaxFileSize: clamd reports a member above it as clean. `members` and `output` have the defaults of
    clamd's MaxFiles and of our MaxScanSize (deploy/clamav/clamd.conf). `ratio` bounds the output of `Budget(size=...)`
    bytes beyond the first `small`; deflate reaches 1032, a disk image of zeros 1000, a text 10. `memory` is the largest
    dictionary of a decoder. `deadline` is a moment of `clock`, which is CPU time, in seconds.
    """

    members: int = 10_000
    output: int = 400 * MIB
    ratio: int = 250
    small: int = 16 * MIB
    file: int = 110 * MIB
    memory: int = 48 * MIB
    depth: int = 20
    deadline: float = inf
    clock: Callable[[], float] = no_clock


DEFAULT_BOUNDS = ContainerBounds()


class Budget:
    """What is left of `bounds` for a message of `size` bytes."""

    def __init__(self, bounds: ContainerBounds, size: int) -> None:
        self.bounds = bounds
        self._output = bounds.output
        self._ratio = bounds.small + bounds.ratio * size

    def spend(self, count: int) -> ContainerLimit | None:
        """Take `count` bytes that a decoder read or wrote, whichever is more; return the bound that this exceeds."""
        self._output -= count
        self._ratio -= count
        if self._output < 0:
            return ContainerLimit.OUTPUT
        if self._ratio < 0:
            return ContainerLimit.RATIO
        return self.late()

    def late(self) -> ContainerLimit | None:
        """Return the bound on time if it has passed."""
        return ContainerLimit.TIME if self.bounds.clock() > self.bounds.deadline else None
