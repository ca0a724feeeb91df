"""The sockets of the service: made before the fork, shared by all who answer there, and removed at the end.

How a socket is bound says `listener`; who has it says `children`.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from miltscan.config.settings import ExporterSettings, MilterSettings
from miltscan.core.address import Address
from miltscan.errors import StartError
from miltscan.exporter import access
from miltscan.processes import listener


@dataclass(frozen=True, slots=True)
class PublicSocket:
    """A socket on which an MTA asks."""

    address: Address
    public: socket.socket
    verifies: bool


def open_sockets(address: Address | None, settings: MilterSettings, key: str) -> list[PublicSocket]:
    """The door of this key, none where it has no address. Raises StartError."""
    if address is None:
        return []
    try:
        public = listener.bind(address, settings.socket_mode, settings.socket_group, settings.allow)
    except StartError as error:
        raise StartError(str(error).replace("milter.socket ", f"{key} ", 1)) from error
    return [PublicSocket(address, public, verifies=key == "verify.socket")]


def close_sockets(doors: Sequence[PublicSocket]) -> None:
    """Close each socket and remove its file; once, for the file may soon be a successor's."""
    for door in doors:
        if door.public.fileno() >= 0:
            listener.unbind(door.address)
            door.public.close()


def bind_exporter(settings: ExporterSettings) -> socket.socket | None:
    """None if there is to be no exporter. Files that it cannot use are found out now: StartError."""
    if settings.listen is None:
        return None
    access.load_access(settings)
    return listener.bind_http(settings.listen.host, settings.listen.port)
