"""The milter sockets and the exporter's: opened before the fork, shared by the processes that serve them, closed once.

`processes.listener` binds a milter socket, or the service manager has opened it (`processes.activation`): such a socket
is its own, and miltscan neither binds nor removes it. `children` says which process keeps which.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from miltscan.config.settings import Settings
from miltscan.config.tables import ExporterSettings, MilterSettings
from miltscan.core.address import Address, UnixAddress
from miltscan.errors import StartError
from miltscan.exporter import access
from miltscan.processes.activation import PassedSocket, start_again, take_passed
from miltscan.processes.admission import dropped_packets, install_filter
from miltscan.processes.listener import FileIdentity, bind, bind_http, file_at, set_tcp_options, unbind

REMEDY = "Run: systemctl restart miltscan.socket"
"""What makes the service manager put the file of a socket that it opened in its place again."""


@dataclass(slots=True)
class MilterSocket:
    """A socket to which an MTA connects; `key` names its setting. `passed`: the service manager opened it.

    `unfiltered` is why the kernel takes no filter for milter.allow; empty if it does, or needs none.
    """

    key: str
    address: Address
    listener: socket.socket
    passed: bool = False
    unfiltered: str = ""
    file: FileIdentity | None = field(init=False)
    _dropped: int = field(init=False)

    def __post_init__(self) -> None:
        self.file = file_at(self.address)
        self._dropped = dropped_packets(self.listener)

    @property
    def verifies(self) -> bool:
        """Whether it belongs to the delivery side."""
        return self.key == "verify.socket"

    @property
    def lost(self) -> str:
        """Why an MTA cannot reach it by its path; empty if it can, or after `close`."""
        if not isinstance(self.address, UnixAddress) or self.listener.fileno() < 0:
            return ""
        now = file_at(self.address)
        if self.file and now == self.file:
            return ""
        return "another file has its path" if now else "its file was removed"

    def newly_dropped(self) -> int:
        """Return how many packets the kernel has dropped there since the last call."""
        before, self._dropped = self._dropped, dropped_packets(self.listener)
        return max(0, self._dropped - before)

    def renew(self, settings: MilterSettings) -> socket.socket:
        """Bind it again, with the same mode and group; return the former listener. Raises StartError."""
        former, self.listener = self.listener, _bound(self.key, self.address, settings)
        self.file = file_at(self.address)
        return former

    def close(self) -> None:
        """Close it, and remove its file if it is miltscan's own; only once."""
        if self.listener.fileno() >= 0:
            if not self.passed:
                unbind(self.address, self.file)
            self.listener.close()


def open_sockets(settings: Settings) -> list[MilterSocket]:
    """Return the milter socket and, if it is set, the one of the delivery side. Raises StartError."""
    keys = {"milter.socket": settings.milter.socket, "verify.socket": settings.verify.socket}
    addresses = {key: address for key, address in keys.items() if address is not None}
    passed = take_passed()
    opened: list[MilterSocket] = []
    try:
        opened += [_accepted(one, addresses) for one in passed if not _is_obsolete(one, addresses)]
        for key, address in addresses.items():
            if key not in {one.key for one in opened}:
                opened.append(MilterSocket(key, address, _bound(key, address, settings.milter)))
    except StartError:
        close_sockets(opened)
        raise
    for milter_socket in opened:
        milter_socket.unfiltered = install_filter(milter_socket.listener, settings.milter.allow)
    return sorted(opened, key=lambda one: one.verifies)


def close_sockets(sockets: Sequence[MilterSocket]) -> None:
    """Close each socket that is still open."""
    for one in sockets:
        one.close()


def start_with(sockets: Sequence[MilterSocket]) -> NoReturn:
    """Start the service again in this process, with these sockets. Raises OSError."""
    start_again([one.listener for one in sockets if not one.passed], [one.listener for one in sockets if one.passed])


def bind_exporter(settings: ExporterSettings) -> socket.socket | None:
    """Return the exporter's listener, None where it is off. StartError now if it cannot use its files."""
    if settings.listen is None:
        return None
    access.load_access(settings)
    return bind_http(settings.listen.host, settings.listen.port)


def _is_obsolete(one: PassedSocket, addresses: dict[str, Address]) -> bool:
    """Return whether it is miltscan's own from before a restart, whose address has changed; then it is closed."""
    if not one.is_our_own or any(one.is_at(address) for address in addresses.values()):
        return False
    unbind(one.address, file_at(one.address))
    one.listener.close()
    return True


def _accepted(one: PassedSocket, addresses: dict[str, Address]) -> MilterSocket:
    """Return the socket that was passed under the key whose address it has. Raises StartError."""
    key = next((key for key, address in addresses.items() if one.is_at(address)), None)
    if key is None:
        named = ", ".join(f"{key} is {address}" for key, address in addresses.items())
        raise StartError(
            f"{one.name or 'LISTEN_FDS'}: the service manager passed {one.address}, but {named}. "
            "Set ListenStream= of the socket unit and the setting to the same address."
        )
    made = MilterSocket(key, addresses[key], one.listener, passed=not one.is_our_own)
    if made.passed and isinstance(made.address, UnixAddress) and made.file is None:
        raise StartError(f"{key} {made.address}: its file was removed, so no MTA can reach it. {REMEDY}")
    set_tcp_options(one.listener)
    return made


def _bound(key: str, address: Address, settings: MilterSettings) -> socket.socket:
    try:
        return bind(address, settings.socket_mode, settings.socket_group)
    except StartError as error:
        raise StartError(str(error).replace("milter.socket ", f"{key} ", 1)) from error
