"""Socket addresses (`unix:/path` and `inet:PORT@HOST`, IPv6 as well), and networks; opens nothing."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_EXPECTED = "expected unix:/absolute/path or inet:PORT@HOST"
LONGEST_PATH = 107
"""Bytes: the length of sun_path (unix(7)) without the zero byte at its end."""
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket by its path."""

    path: str

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can reach it: always."""
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class InetAddress:
    """A TCP socket by host (name or address) and port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this host can reach it; no name is looked up."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"inet:{self.port}@{self.host}"


Address = UnixAddress | InetAddress
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def beyond_loopback(networks: Iterable[Network]) -> list[Network]:
    """The networks that contain other hosts than this one."""
    return [network for network in networks if not network.is_loopback]


def is_loopback(host: str) -> bool:
    """Return whether a host, by name or address, bare or in brackets, is a loopback one; no name is looked up."""
    try:
        return _ip_address(host).is_loopback
    except ValueError:
        return host.strip("[]").lower() == "localhost"


def is_in(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an IP address, as accept(2) reports it, is in one of the networks."""
    ip_address = _ip_address(address)
    return any(ip_address in network for network in networks)


def ip_address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address of a client as the MTA names it; None for a program on its host, or an unknown one."""
    try:
        return _ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=64)  # many rules ask about the same client
def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address without brackets, prefix and zone; an IPv4-mapped address is its IPv4 address. ValueError."""
    bare = text.strip("[]").lower().removeprefix("ipv6:").partition("%")[0]
    address = ipaddress.ip_address(bare)
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def parse_address(text: str) -> Address:
    """The address that `text` names (`local:` is sendmail's other word for `unix:`); ValueError fit for a user."""
    kind, _, rest = text.partition(":")
    if "\0" in rest:  # no socket takes it
        raise ValueError(_EXPECTED)
    if kind in {"unix", "local"}:
        return _unix(rest)
    if kind == "inet":
        return _inet(rest)
    raise ValueError(_EXPECTED)


def _unix(path: str) -> UnixAddress:
    if not path.startswith("/"):
        raise ValueError(_EXPECTED)
    if len(path.encode()) > LONGEST_PATH:
        raise ValueError(f"expected a socket path of at most {LONGEST_PATH} bytes")
    return UnixAddress(path)


def _inet(text: str) -> InetAddress:
    port, _, bracketed = text.partition("@")
    host = bracketed.strip("[]")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT and host):
        raise ValueError(_EXPECTED)
    return InetAddress(host, int(port))
