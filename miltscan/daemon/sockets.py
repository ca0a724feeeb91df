"""The milter sockets and the exporter's: opened before the fork, shared by the processes that serve them, closed once.

`processes.listener` binds them; `children` says which process keeps which.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass

from miltscan.config.settings import ExporterSettings, MilterSettings
from miltscan.core.address import Address
from miltscan.errors import StartError
from miltscan.exporter import access
from miltscan.processes.admission import install_filter
from miltscan.processes.listener import bind, bind_http, unbind


@dataclass(frozen=True, slots=True)
class MilterSocket:
    """A socket to which an MTA connects; one that `verifies` belongs to the delivery side. `key` names its setting.

    `unfiltered` is why the kernel takes no filter for milter.allow; empty if it does, or needs none.
    """

    key: str
    address: Address
    listener: socket.socket
    unfiltered: str = ""

    @property
    def verifies(self) -> bool:
        """Whether it belongs to the delivery side."""
        return self.key == "verify.socket"


def open_sockets(address: Address | None, settings: MilterSettings, key: str) -> list[MilterSocket]:
    """Return the milter socket of this key; none if the key has no address. Raises StartError."""
    if address is None:
        return []
    try:
        listener = bind(address, settings.socket_mode, settings.socket_group)
    except StartError as error:
        raise StartError(str(error).replace("milter.socket ", f"{key} ", 1)) from error
    return [MilterSocket(key, address, listener, install_filter(listener, settings.allow))]


def close_sockets(sockets: Sequence[MilterSocket]) -> None:
    """Close each socket and remove its file, only once: afterwards the file may belong to a new service."""
    for one in sockets:
        if one.listener.fileno() >= 0:
            unbind(one.address)
            one.listener.close()


def bind_exporter(settings: ExporterSettings) -> socket.socket | None:
    """Return the exporter's listener, None where it is off. StartError now if it cannot use its files."""
    if settings.listen is None:
        return None
    access.load_access(settings)
    return bind_http(settings.listen.host, settings.listen.port)
