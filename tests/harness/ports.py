"""Free TCP ports on loopback: the wanted one, or another one when it is in use.

A port is bound some time after it was chosen. So that no other process takes it meanwhile, each process takes its ports
in turn from a block that it has for itself as long as it lives.
"""

import itertools
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

# Below the range from which the kernel takes ports for outgoing connections: none takes ours before its program does.
_FIRST, _LAST, _BLOCK = 20000, 31999, 400


@dataclass(frozen=True, slots=True)
class Port:
    """A port that was free on 127.0.0.1 when asked; `wanted` is 0 where any would do."""

    number: int
    wanted: int = 0

    @property
    def note(self) -> str:
        """Empty, or a note for the user about it."""
        if self.wanted in {0, self.number}:
            return ""
        return f"port {self.wanted} is in use, {self.number} is taken instead"


def choose(wanted: int = 0) -> Port:
    """`wanted` if it is free, else the next free port of our block. Raises OSError when there is none."""
    candidates = [wanted] if wanted else []
    for number in itertools.chain(candidates, itertools.islice(_ours(), _BLOCK)):
        if _is_free(number):
            return Port(number, wanted)
    raise OSError("no free port on 127.0.0.1")


@cache
def _ours() -> Iterator[int]:
    """The ports of a block that no other process has, round and round."""
    blocks = range(_FIRST, _LAST, _BLOCK)
    for first in random.sample(blocks, len(blocks)):
        if _reserve(first):
            return itertools.cycle(range(first, first + _BLOCK))
    raise OSError("every block of ports is in use")


def _reserve(first: int) -> bool:
    """Whether the block was free. The reservation is a name that the kernel takes back when this process ends."""
    with socket.socket(socket.AF_UNIX) as name:
        try:
            name.bind(f"\0miltscan-ports-{first}")
        except OSError:
            return False
        name.detach()  # left open
    return True


def _is_free(number: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def is_open(number: int) -> bool:
    """Whether something accepts connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", number)) == 0
