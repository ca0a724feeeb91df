"""How the configuration writes sizes, durations, addresses and the like: text to value and back; it knows no key.

Each `Kind` says in one phrase what it expects, which is at once the error a user reads and the documentation.
"""

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import urlsplit

from miltscan.core.address import Address, InetAddress, Network, parse_address

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

Toml = str | int | list[str]
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
N = TypeVar("N", int, float)

_SIZES = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "KiB": 2**10, "KB": 10**3, "B": 1}
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_QUANTITY = re.compile(r"([0-9]{1,15}) ?([A-Za-z]{1,3})", re.ASCII)
_SECONDS_UP_TO = 60_000  # "60s" and not "1m": the longest that people write in seconds


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of value: what is `expected` (a phrase), how it is read from TOML and how it is shown there.

    `read` raises ValueError, with a text of its own where that tells more than `expected`.
    """

    expected: str
    read: Callable[[object], T]
    show: Callable[[T], Toml]

    def parse(self, value: object) -> T:
        """The value; ValueError fit for a user."""
        try:
            return self.read(value)
        except ValueError as error:
            raise ValueError(str(error) or f"expected {self.expected}") from None

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> "CoreSchema":
        """Makes `Annotated[type, kind]` a field that pydantic reads with `parse`; called by pydantic alone."""
        from pydantic_core import core_schema  # noqa: PLC0415 - a process with settings needs no pydantic

        return core_schema.no_info_plain_validator_function(self.parse)


def toml(value: Toml) -> str:
    """The value as TOML (its basic strings are those of JSON, but for U+007F)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def size(low: str, high: str) -> Kind[int]:
    """Bytes, from `low` to `high`; a plain integer is bytes too."""
    lowest, highest = parse_size(low), parse_size(high)

    def read(value: object) -> int:
        return _within(parse_size(value), lowest, highest)

    return Kind(f'a size such as "1MiB", from {low} to {high}', read, show_size)


def parse_size(value: object) -> int:
    """Bytes of `"512KiB"`, `"100MB"` or an integer; ValueError without a text."""
    return value if isinstance(value, int) and not isinstance(value, bool) else _quantity(value, _SIZES)


def show_size(value: int) -> str:
    """Bytes in the largest unit that shows them exactly."""
    return _shown(value, _SIZES)


def duration(low: str, high: str) -> Kind[float]:
    """Seconds, from `low` to `high`."""
    lowest, highest = parse_duration(low), parse_duration(high)

    def read(value: object) -> float:
        return _within(parse_duration(value), lowest, highest)

    return Kind(f'a duration such as "60s", from {low} to {high}', read, show_duration)


def parse_duration(value: object) -> float:
    """Seconds of `"60s"`, `"5m"`, `"1h"` or `"500ms"`; ValueError without a text."""
    return _quantity(value, _MILLISECONDS) / 1000


def show_duration(seconds: float) -> str:
    """Seconds in the largest unit that shows them exactly; up to a minute in seconds."""
    units = {"s": 1000, "ms": 1} if seconds * 1000 <= _SECONDS_UP_TO else _MILLISECONDS
    return _shown(round(seconds * 1000), units) if seconds else "0s"


def count(low: int, high: int) -> Kind[int]:
    """A whole number from `low` to `high`."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - one kind of error for all that a user can write
        return _within(value, low, high)

    return Kind(f"a whole number from {low} to {high}", read, int)


def choice(names: type[E]) -> Kind[E]:
    """One of the members of an enum."""
    expected = "one of " + ", ".join(f'"{name}"' for name in names)

    def read(value: object) -> E:
        if _text(value) not in set(names):
            raise ValueError
        return names(_text(value))

    return Kind(expected, read, str)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - as in `count`
    return value


_TRACES_PATH = "/v1/traces"  # of OTLP over HTTP


def _collector(value: object) -> str:
    """The URL with the path that the protocol has by default; empty for none."""
    text = _text(value)
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


def _within(value: N, low: N, high: N) -> N:
    if not low <= value <= high:
        raise ValueError
    return value


def _quantity(value: object, units: dict[str, int]) -> int:
    found = _QUANTITY.fullmatch(_text(value))
    if found is None or found[2] not in units:
        raise ValueError
    return int(found[1]) * units[found[2]]


def _shown(value: int, units: dict[str, int]) -> str:
    smallest = [*units][-1]
    unit = next((unit for unit, worth in units.items() if value and value % worth == 0), smallest)
    return f"{value // units[unit]}{unit}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - as in `count`
    return value


def _address(value: object) -> Address:
    return parse_address(_text(value))


def _no_address(value: object) -> Address | None:
    return _address(value) if _text(value) else None


def _addresses(value: object) -> tuple[Address, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    addresses = tuple(_address(item) for item in value)
    if len(set(addresses)) < len(addresses):
        raise ValueError("expected each address once")
    return addresses


def _listen(value: object) -> InetAddress | None:
    text = _text(value)
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


def _folder(value: object) -> str:
    if not _text(value).startswith("/") or "\0" in _text(value):
        raise ValueError
    return _text(value)


def _file(value: object) -> str:
    return _text(value) and _folder(value)


def _queue(value: object) -> str:
    """Where sendmail's own QueueDirectory would be written: `/var/spool/mqueue/q*` stands for several folders."""
    return _folder(value) if value else _text(value)


def _mode(value: object) -> int:
    if not re.fullmatch("0?[0-7]{3}", _text(value)):
        raise ValueError
    return int(_text(value), 8)


_MOST_NETWORKS = 64  # what fits into a socket filter: service/admission.py


def _networks(value: object) -> tuple[Network, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError
    if len(value) > _MOST_NETWORKS:
        raise ValueError(f"expected at most {_MOST_NETWORKS} networks")
    return tuple(_network(_text(item)) for item in value)


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
        raise ValueError  # noqa: TRY004 - as in `count`
    return address


_MAILBOX = re.compile(r"[!-;=?-~]{1,64}@[A-Za-z0-9.:\[\]-]{1,189}", re.ASCII)


def _mailbox(value: object) -> str:
    if not _MAILBOX.fullmatch(_text(value)):
        raise ValueError
    return _text(value)


def _no_mailbox(value: object) -> str:
    return _text(value) and _mailbox(value)


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
MODE = Kind('a file mode such as "0660"', _mode, lambda mode: f"{mode:04o}")
FLAG = Kind("true or false", _flag, bool)
COLLECTOR = Kind('a URL such as "http://127.0.0.1:4318/v1/traces", or an empty text for none', _collector, str)
NAME = Kind("a name, or an empty text for none", _text, str)
