"""A connection to a server, held to one absolute deadline; knows no protocol.

The kernel's own socket timeouts (SO_RCVTIMEO, SO_SNDTIMEO: socket(7)) bound each wait to a slice. That saves the poll()
and the non-blocking mode of Python's settimeout(). It also waits for a unix socket whose backlog is full, where a
non-blocking connect() fails at once with EAGAIN.
"""

import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple, TypeVar

from miltscan.core.address import Address, UnixAddress

SLICE = 0.25
"""Seconds of the longest single wait: after each one the deadline is checked, and the tick is called."""
_FIRST_SLICE = 0.05  # seconds; each wait of an exchange may take twice as long as the one before it

_TIMEVAL = struct.Struct("@ll")  # struct timeval: seconds, microseconds
_DESCRIPTOR = struct.Struct("@i")
_SHORTEST_WAIT = 0.001  # a timeval of zero means no timeout at all
_Result = TypeVar("_Result")


class DeadlineError(Exception):
    """The deadline has passed. It is not an OSError: ETIMEDOUT of a lost peer is one and means something else."""


class Target(NamedTuple):
    """The argument of connect(): an address family and a numeric address of that family."""

    family: int
    address: str | tuple[str, int] | tuple[str, int, int, int]


def targets(address: Address) -> list[Target]:
    """All targets of `address`. May block as long as the resolver does; raises OSError for an unknown host."""
    if isinstance(address, UnixAddress):
        return [Target(socket.AF_UNIX, address.path)]
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    return [Target(family, place) for family, _, _, _, place in found]  # type: ignore[arg-type]  # of a socket without IPv6


def _timeval(seconds: float) -> bytes:
    return _TIMEVAL.pack(int(seconds), int(seconds % 1 * 1_000_000))


def _no_tick() -> None:
    """The tick of a connection that is idle."""


class Wire:
    """One connection. Every method raises DeadlineError once `deadline` (time.monotonic seconds) has passed.

    `tick` is called after each slice, so at least four times a second; what it raises ends the wait and is raised by
    the method that waited. `broken` means that the peer reset the connection, or closed it while we wrote: its data may
    be incomplete.
    """

    __slots__ = ("_deadline", "_limit", "_next_tick", "_slice", "_socket", "_target", "_tick", "broken")

    def __init__(self, target: Target, deadline: float, tick: Callable[[], None]) -> None:
        self._target = target
        self._deadline = deadline
        self._tick = tick
        self._limit = b""
        self._slice = _FIRST_SLICE
        self.broken = False
        self._socket = socket.socket(target.family, socket.SOCK_STREAM)

    def quiet(self) -> bool:
        """Whether the peer has neither closed the connection nor sent anything that is still unread."""
        try:
            self._socket.recv(1, socket.MSG_DONTWAIT)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def renew(self, deadline: float, tick: Callable[[], None]) -> None:
        """Begin another exchange on a connection whose last one was complete."""
        self._deadline = deadline
        self._tick = tick
        self._slice = _FIRST_SLICE
        self._limit_waits(monotonic())

    def forget_tick(self) -> None:
        """Drop the tick of an exchange that has ended: it keeps alive its message, engine and configuration."""
        self._tick = _no_tick

    def connect(self) -> None:
        """Connect; raises OSError if the peer cannot be reached."""
        self._limit_waits(monotonic())
        if self._target.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._persist(self._socket.connect, self._target.address)

    def send(self, data: bytes) -> None:
        """Send all of `data`; raises OSError if the peer does not accept it."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._persist(self._socket.send, rest) :]
            self._pulse()

    def send_descriptor(self, data: bytes, descriptor: int) -> None:
        """Send a few bytes and a file descriptor by one sendmsg() (unix(7)); raises OSError as above."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(descriptor))]
        self._persist(self._socket.sendmsg, [data], rights)

    def receive(self, limit: int) -> bytes:
        """Everything up to the peer's end of file; `limit` + 1 bytes of it where there are more than `limit`.

        MSG_WAITALL takes a reply and the end of file behind it in one system call. Raises OSError if nothing was
        received before the connection broke; data before a reset is returned.
        """
        data = b""
        try:
            while len(data) <= limit:
                piece = self._persist(self._socket.recv, limit + 1 - len(data), socket.MSG_WAITALL)
                if not piece:
                    break
                data += piece
                self._pulse()
        except ConnectionError:
            self.broken = True
            if not data:
                raise
        return data

    def receive_line(self, end: bytes, limit: int) -> bytes:
        """Everything up to an `end` that is the last byte so far; less at the end of file, at most `limit` + 1 bytes.

        OSError as for `receive`.
        """
        data = self._persist(self._socket.recv, limit + 1)
        while data and len(data) <= limit and not data.endswith(end):
            self._pulse()
            if not (piece := self._persist(self._socket.recv, limit + 1 - len(data))):
                break
            data += piece
        return data

    def close(self) -> None:
        """Close the connection; never raises, and may be called again."""
        self._socket.close()

    def _persist(self, operation: Callable[..., _Result], *arguments: object) -> _Result:
        """`operation`, repeated after each slice without a result (EAGAIN, and EINPROGRESS or EALREADY of connect)."""
        while True:
            try:
                return operation(*arguments)
            except BlockingIOError:
                self._pulse()

    def _pulse(self) -> None:
        now = monotonic()
        if now >= self._next_tick:
            self._tick()
            self._limit_waits(now)

    def _limit_waits(self, now: float) -> None:
        """Bound the next waits by a slice or by the rest of the time; the last one may pass the deadline by a slice."""
        left = self._deadline - now
        if left <= 0:
            raise DeadlineError
        wait = min(left, self._slice)
        self._slice = min(2 * self._slice, SLICE)
        self._next_tick = now + wait
        limit = _timeval(max(wait, _SHORTEST_WAIT))
        if limit != self._limit:
            self._limit = limit
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
