"""Free TCP ports on loopback: the wanted one, or another one when it is in use."""

import random
import socket
from dataclasses import dataclass

# Below the range from which the kernel takes ports for outgoing connections: none takes ours before its program does.
_FIRST, _LAST = 20000, 31999


@dataclass(frozen=True, slots=True)
class Port:
    """A port that was free on 127.0.0.1 when asked; `wanted` is 0 where any would do."""

    number: int
    wanted: int = 0

    @property
    def note(self) -> str:
        """Empty, or what to tell the user about it."""
        if self.wanted in {0, self.number}:
            return ""
        return f"port {self.wanted} is in use, {self.number} is taken instead"


def choose(wanted: int = 0) -> Port:
    """`wanted` if it is free, else a random free port. Raises OSError when there is none."""
    candidates = [wanted] if wanted else []
    candidates += random.sample(range(_FIRST, _LAST), 200)
    for number in candidates:
        if _is_free(number):
            return Port(number, wanted)
    raise OSError("no free port on 127.0.0.1")


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
