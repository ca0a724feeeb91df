"""The sockets that a service manager opened and passed: sd_listen_fds(3). It opens, binds and removes none.

The manager keeps each socket while the service restarts: connections wait in its queue, and none is refused.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from miltscan.core.address import Address, InetAddress, UnixAddress
from miltscan.errors import StartError

_FIRST = 3  # SD_LISTEN_FDS_START
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)
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
