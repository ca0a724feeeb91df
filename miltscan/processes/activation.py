"""The sockets that a service manager opened and passed: sd_listen_fds(3). It opens, binds and removes none.

The manager keeps each socket while the service restarts: connections wait in its queue, and none is refused.
"""

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from miltscan.core.address import Address, InetAddress, UnixAddress
from miltscan.errors import StartError

_FIRST = 3  # SD_LISTEN_FDS_START
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
_OUR_OWN = "miltscan-restart"
"""The name of a socket that this service opened itself, before it started again in its process."""
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")


@dataclass(frozen=True, slots=True)
class PassedSocket:
    """A listening socket and its name, for systemd the one of the unit unless FileDescriptorName= is set."""

    listener: socket.socket
    name: str

    @property
    def address(self) -> Address:
        """The address at which it listens."""
        place = self.listener.getsockname()
        return UnixAddress(str(place)) if self.listener.family == socket.AF_UNIX else InetAddress(place[0], place[1])

    @property
    def is_our_own(self) -> bool:
        """Whether this service opened it, not the service manager."""
        return self.name == _OUR_OWN

    def is_at(self, address: Address) -> bool:
        """Whether it listens at this address: links in a path are resolved, and so are host names."""
        ours = self.address
        if isinstance(ours, UnixAddress) or isinstance(address, UnixAddress):
            return type(ours) is type(address) and os.path.realpath(_place(ours)) == os.path.realpath(_place(address))
        return ours.port == address.port and ours.host in _hosts(address)


def take_passed() -> list[PassedSocket]:
    """Return the sockets that were passed to this process, once: no child may take them again. Raises StartError."""
    count, owner, names = (os.environ.pop(name, "") for name in _VARIABLES)
    if owner != str(os.getpid()) or not count.isdigit():
        return []
    named = [*names.split(":"), *[""] * int(count)]
    return [PassedSocket(_listener(_FIRST + number), named[number]) for number in range(int(count))]


def start_again(own: Sequence[socket.socket], passed: Sequence[socket.socket]) -> NoReturn:
    """Run this program again in this process, with its arguments; it takes the sockets over. Raises OSError."""
    sockets = (*own, *passed)
    above = _FIRST + len(sockets)  # first out of the way, as one may have the number that another one gets
    spare = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, above) for one in sockets]
    for number, descriptor in enumerate(spare, _FIRST):
        os.dup2(descriptor, number)  # inherited
    names = ":".join([_OUR_OWN] * len(own) + [""] * len(passed))
    values = (str(len(sockets)), str(os.getpid()), names)
    for number in (signal.SIGHUP, signal.SIGUSR2):  # which would end the program until it has its handlers
        signal.signal(number, signal.SIG_IGN)
    os.execve(  # noqa: S606 - it has to keep this process ID
        sys.executable,
        [sys.executable, *sys.orig_argv[1:]],
        {**os.environ, **dict(zip(_VARIABLES, values, strict=True))},
    )


def _listener(descriptor: int) -> socket.socket:
    """Return the socket behind a descriptor, as the workers need it: non-blocking, and not for other programs."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise StartError(f"LISTEN_FDS: descriptor {descriptor} is not a socket: {error.strerror}") from error
    if listener.type != socket.SOCK_STREAM or listener.family not in _FAMILIES:
        mistake = "is not a stream socket. Use ListenStream= in its unit."
    elif not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        mistake = "does not listen. Remove Accept=yes from its unit."
    else:
        listener.settimeout(0)
        listener.set_inheritable(False)
        return listener
    listener.close()
    raise StartError(f"LISTEN_FDS: descriptor {descriptor} {mistake}")


def _place(address: Address) -> str:
    return address.path if isinstance(address, UnixAddress) else ""


def _hosts(address: InetAddress) -> Iterator[str]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    yield from (str(place[0]) for *_, place in found)
