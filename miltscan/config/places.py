"""How the configuration writes where something is: sockets, networks, URLs, paths, mail addresses; it knows no key.

Nothing is looked at: whether there is anything in that place is for `miltscan check`.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from miltscan.config.units import Kind, string
from miltscan.core.address import Address, InetAddress, Network, parse_address

_MOST_NETWORKS = 64  # what fits into a socket filter: processes/admission.py
_TRACES_PATH = "/v1/traces"  # of OTLP over HTTP
_MAILBOX = re.compile(r"[!-;=?-~]{1,64}@[A-Za-z0-9.:\[\]-]{1,189}", re.ASCII)


def _address(value: object) -> Address:
    return parse_address(string(value))


def _no_address(value: object) -> Address | None:
    return _address(value) if string(value) else None


def _addresses(value: object) -> tuple[Address, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    addresses = tuple(_address(item) for item in value)
    if len(set(addresses)) < len(addresses):
        raise ValueError("expected each address once")
    return addresses


def _listen(value: object) -> InetAddress | None:
    text = string(value)
    if text in {"", "off"}:
        return None
    host, _, port = text.rpartition(":")
    try:
        address = parse_address(f"inet:{port}@{host}")
    except ValueError:
        raise ValueError from None
    assert isinstance(address, InetAddress)  # noqa: S101 - for mypy: `inet:` gives no other
    return address


def _show_listen(address: InetAddress | None) -> str:
    if address is None:
        return "off"
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def _networks(value: object) -> tuple[Network, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    if len(value) > _MOST_NETWORKS:
        raise ValueError(f"expected at most {_MOST_NETWORKS} networks")
    return tuple(_network(string(item)) for item in value)


def _network(text: str) -> Network:
    """One address or network; an interface (`%eth0`) is no part of what a packet says of its source."""
    try:
        if "%" not in text:
            return ipaddress.ip_network(text)
    except ValueError:
        pass
    raise ValueError(f"expected an address, or a network without host bits such as 192.0.2.0/24, not {text}")


def _show_network(network: Network) -> str:
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def _inet(value: object) -> InetAddress:
    try:
        address = _address(value)
    except ValueError:
        raise ValueError from None  # its own text names unix sockets, too
    if not isinstance(address, InetAddress):
        raise ValueError  # noqa: TRY004 - as in `units.count`
    return address


def _mailbox(value: object) -> str:
    if not _MAILBOX.fullmatch(string(value)):
        raise ValueError
    return string(value)


def _no_mailbox(value: object) -> str:
    return string(value) and _mailbox(value)


def _collector(value: object) -> str:
    """The URL with the path that the protocol has by default; empty for none."""
    text = string(value)
    if not text:
        return ""
    try:
        parts, plain = urlsplit(text), text.isascii() and text.isprintable() and " " not in text
        good = plain and parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # of a bracket or a port, in words of its own
        raise ValueError from None
    if not good or parts.username is not None or parts.query or parts.fragment:
        raise ValueError
    return text if parts.path.strip("/") else f"{text.rstrip('/')}{_TRACES_PATH}"


def _folder(value: object) -> str:
    if not string(value).startswith("/") or "\0" in string(value):
        raise ValueError
    return string(value)


def _file(value: object) -> str:
    return string(value) and _folder(value)


def _queue(value: object) -> str:
    """Where sendmail's own QueueDirectory would be written: `/var/spool/mqueue/q*` stands for several folders."""
    return _folder(value) if value else string(value)


ADDRESS = Kind("unix:/absolute/path or inet:PORT@HOST", _address, str)
NO_ADDRESS = Kind(
    "unix:/absolute/path or inet:PORT@HOST, or an empty text for none",
    _no_address,
    lambda address: "" if address is None else str(address),
)
ADDRESSES = Kind(
    'a list of addresses such as ["unix:/absolute/path", "inet:PORT@HOST"]',
    _addresses,
    lambda addresses: [str(address) for address in addresses],
)
INET = Kind("inet:PORT@HOST", _inet, str)
NETWORKS = Kind(
    'a list of addresses and networks such as ["127.0.0.1", "192.0.2.0/24", "2001:db8::/32"]',
    _networks,
    lambda networks: [_show_network(network) for network in networks],
)
LISTEN = Kind('HOST:PORT, or "off"', _listen, _show_listen)
FOLDER = Kind("the absolute path of a folder", _folder, str)
FILE = Kind("the absolute path of a file, or an empty text for none", _file, str)
QUEUE = Kind("the absolute path of a queue folder, which may end in *, or an empty text for none", _queue, str)
MAILBOX = Kind("a mail address with a domain", _mailbox, str)
NO_MAILBOX = Kind("a mail address with a domain, or an empty text for none", _no_mailbox, str)
COLLECTOR = Kind('a URL such as "http://127.0.0.1:4318/v1/traces", or an empty text for none', _collector, str)
