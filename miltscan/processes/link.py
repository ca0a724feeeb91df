"""The link between the supervisor and a child: orders go down, readiness and signs of life go up. It starts no process.

A sign of life is a change of one byte of memory that both ends share. It needs no reader: a supervisor that is stopped
for a while neither blocks the child nor misses that the child worked meanwhile.
"""

import mmap
import socket
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

READY = "ready"
DRAIN = "drain"
_VALUES = 256  # of a byte, which is written at once: a reader never sees half of it

if TYPE_CHECKING:
    _Connection = Connection[object, object]  # generic in its type stub only
else:
    _Connection = Connection


class ChildLink(_Connection):
    """One end; `beats` changes with each sign of life of the child."""

    def __init__(self, descriptor: int, memory: mmap.mmap) -> None:
        super().__init__(descriptor)
        self._memory = memory

    @property
    def beats(self) -> int:
        """The signs of life so far, modulo 256."""
        return self._memory[0]

    def beat(self) -> None:
        """Show that this child works; to be called every few seconds."""
        self._memory[0] = (self.beats + 1) % _VALUES


def link_pair() -> tuple[ChildLink, ChildLink]:
    """Return both ends of a new link: the supervisor's and the child's, which a fork makes its own."""
    memory = mmap.mmap(-1, mmap.PAGESIZE)  # shared with the processes that are forked later
    ours, theirs = socket.socketpair()
    return ChildLink(ours.detach(), memory), ChildLink(theirs.detach(), memory)


def received(link: ChildLink) -> object:
    """Return the next object from the link; None if the other end is closed."""
    try:
        return link.recv()
    except (EOFError, OSError):
        return None
