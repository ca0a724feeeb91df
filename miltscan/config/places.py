"""Sockets, networks, URLs, paths and mail addresses in the configuration: text to value and back; it knows no key.

It looks at no file and no host: whether a place exists is for `miltscan check`.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from miltscan.config.units import Notation, optional, string
from miltscan.core.address import Address, InetAddress, Network, parse_address

_MAX_NETWORKS = 64  # what fits into a socket filter: processes/admission.py
_TRACES_PATH = "/v1/traces"  # of OTLP over HTTP
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?", re.ASCII)
_MAILBOX = re.compile(r"[!-;=?-~]{1,64}@[A-Za-z0-9.:\[\]-]{1,189}", re.ASCII)


def _address(value: object) -> Address:
    return parse_address(string(value))


def _inet(value: object) -> InetAddress:
    text = string(value)
    if not text.startswith("inet:"):
        raise ValueError
    try:
        address = parse_address(text)
    except ValueError:
        raise ValueError from None  # its own text names unix sockets, too
    assert isinstance(address, InetAddress)  # noqa: S101 - for mypy: `inet:` gives no other
    return address


def _listen(value: object) -> InetAddress | None:
    text = string(value)
    if text in {"", "off"}:
        return None
    host, _, port = text.rpartition(":")
    return _inet(f"inet:{port}@{host}")


def _show_listen(address: InetAddress | None) -> str:
    if address is None:
        return "off"
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def _map(value: object) -> str:
    kind, _, path = string(value).partition(":")
    if kind not in {"hash", "btree", "cdb", "text"}:
        raise ValueError
    _path(path)
    return string(value)


def _network(value: object) -> Network:
    """One address or network; no interface (`%eth0`), because the source address of a packet has none."""
    text = string(value)
    if "%" in text:
        raise ValueError
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError from None


def _show_network(network: Network) -> str:
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def _host(value: object) -> str:
    if not _HOST.fullmatch(string(value)):
        raise ValueError
    return string(value).lower()


def _mailbox(value: object) -> str:
    if not _MAILBOX.fullmatch(string(value)):
        raise ValueError
    return string(value)


def _collector(value: object) -> str:
    """The URL with the path that the protocol has by default."""
    text = string(value)
    try:
        parts, plain = urlsplit(text), text.isascii() and text.isprintable() and " " not in text
        good = plain and parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # of a bracket or a port, with another text
        raise ValueError from None
    if not good or parts.username is not None or parts.query or parts.fragment:
        raise ValueError
    return text if parts.path.strip("/") else f"{text.rstrip('/')}{_TRACES_PATH}"


def _path(value: object) -> str:
    if not string(value).startswith("/") or "\0" in string(value):
        raise ValueError
    return string(value)


def _or_empty(read: Callable[[object], str]) -> Callable[[object], str]:
    return lambda value: "" if value == "" else read(value)


def _each_once(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    if len(set(addresses)) < len(addresses):
        raise ValueError("expected each address once")
    return addresses


_PATH_SCHEMA = {"type": "string", "pattern": "^/"}
_PATH_OR_EMPTY_SCHEMA = {"type": "string", "pattern": "^(/|$)"}
ADDRESS = Notation(
    "unix:/absolute/path or inet:PORT@HOST",
    _address,
    str,
    {"type": "string", "pattern": "^((unix|local):/|inet:[0-9])"},
)
NO_ADDRESS = optional(ADDRESS)
INET = Notation("inet:PORT@HOST", _inet, str, {"type": "string", "pattern": "^inet:[0-9]+@."})
LISTEN = Notation('HOST:PORT, or "off"', _listen, _show_listen)
NETWORK = Notation("an address, or a network without host bits such as 192.0.2.0/24", _network, _show_network)
FOLDER = Notation("the absolute path of a folder", _path, str, _PATH_SCHEMA)
FILE = Notation(
    "the absolute path of a file, or an empty string for none", _or_empty(_path), str, _PATH_OR_EMPTY_SCHEMA
)
FOLDER_OR_NONE = Notation(
    "the absolute path of a folder, or an empty string for none", _or_empty(_path), str, _PATH_OR_EMPTY_SCHEMA
)
FILES = Notation('the absolute path of a file, which may have the wildcard "*"', _path, str, _PATH_SCHEMA)
QUEUE = Notation(
    "the absolute path of a queue folder, which may end in *, or an empty string for none",
    _or_empty(_path),
    str,
    _PATH_OR_EMPTY_SCHEMA,
)
MAP = Notation(
    'a map such as "hash:/etc/mail/access", of one of the types hash, btree, cdb and text',
    _map,
    str,
    {"type": "string", "pattern": "^(hash|btree|cdb|text):/"},
)
HOST = Notation("a host name without a port", _host, str, {"type": "string", "pattern": f"^{_HOST.pattern}$"})
MAILBOX = Notation("a mail address with a domain", _mailbox, str)
NO_MAILBOX = Notation("a mail address with a domain, or an empty string for none", _or_empty(_mailbox), str)
COLLECTOR = Notation(
    'a URL such as "http://127.0.0.1:4318/v1/traces", or an empty string for none', _or_empty(_collector), str
)

Addresses = Annotated[tuple[Annotated[Address, ADDRESS], ...], Field(min_length=1), AfterValidator(_each_once)]
Networks = Annotated[tuple[Annotated[Network, NETWORK], ...], Field(min_length=1, max_length=_MAX_NETWORKS)]
