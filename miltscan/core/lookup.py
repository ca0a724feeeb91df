"""Sources of values outside the configuration: how they are named, read and asked. Pure; `scanning.sources` reads them.

`file:/path` is a file with one value a line. `access:TAG` stands for the keys of sendmail's access map with this tag,
which are looked up as sendmail does for `From:` (`SearchList`, `LookUpDomain`, `LookUpAddress` of its proto.m4): of an
address the whole, `user@`, and its domain with each one above, the first two also with `+*` or nothing for +detail; of
an address without a domain `user@`; of a host its name and each domain above it; of an IP address the prefixes by octet
or, for IPv6, by group. The first key that is there decides: the value SKIP is no match (`FEATURE(access_db)` with
`skip`), any other is one.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Protocol

from miltscan.core.address import ip_address_of
from miltscan.core.patterns import address_keys, domain_keys

_COMMENT = "#"
_SKIP = "skip"
_PAIR = 2
_TAG = re.compile("[A-Za-z0-9]{1,40}")
_LABELS = 32  # of a domain, as in `address_keys`
MOST_LINES = 1_000_000
"""Values of a file, or keys of a map."""


class Kind(StrEnum):
    """What a value is, which decides how it is looked up."""

    ADDRESS = "address"
    HOST = "host"
    NETWORK = "network"
    TEXT = "text"


class Source(Protocol):
    """A source in memory."""

    def has(self, kind: Kind, value: str) -> bool | None:
        """Whether it names the value, None if it says nothing of it; never raises, and reads no file."""


Check = Callable[[str], object]
"""Reads one value as a condition does; raises ValueError with what is expected."""


def source_mistake(text: str) -> str | None:
    """What is expected, if `text` names no source."""
    kind, _, rest = text.partition(":")
    if (kind == "file" and rest.startswith("/") and rest.isprintable()) or (kind == "access" and _TAG.fullmatch(rest)):
        return None
    return "expected file:/absolute/path, or access:TAG with a tag of letters and digits"


def host_keys(name: str) -> tuple[str, ...]:
    """The literals that match a host's name: itself, and `.domain` for it and each domain above it."""
    return (name, *domain_keys(name)[1:])


def is_named(source: Source, values: Iterable[tuple[Kind, str]]) -> bool:
    """Whether the source names the first of these values of which it says anything."""
    for kind, value in values:
        found = source.has(kind, value)
        if found is not None:
            return found
    return False


class FileValues:
    """The values of a file: addresses and domains, hosts, networks or texts, as the condition has them."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self._texts = frozenset(line.lower() for line in lines)
        self._networks: dict[tuple[int, int], set[int]] = {}
        for line in self._texts:
            if line[:1].isdigit() or ":" in line:
                self._add(line)

    def _add(self, line: str) -> None:
        try:
            network = ip_network(line)
        except ValueError:
            return
        self._networks.setdefault((network.version, network.prefixlen), set()).add(int(network.network_address))

    def has(self, kind: Kind, value: str) -> bool | None:
        """As a source does; a file excludes nothing."""
        return True if self._names(kind, value) else None

    def _names(self, kind: Kind, value: str) -> bool:
        match kind:
            case Kind.ADDRESS:
                return not self._texts.isdisjoint(address_keys(value.encode("utf-8", "surrogateescape")))
            case Kind.HOST:
                return not self._texts.isdisjoint(host_keys(value.lower()))
            case Kind.NETWORK:
                return self._contains(ip_address_of(value))
            case Kind.TEXT:
                return value.lower() in self._texts

    def _contains(self, address: IPv4Address | IPv6Address | None) -> bool:
        """One look for each length of prefix that occurs, however many networks there are."""
        if address is None:
            return False
        number, bits = int(address), address.max_prefixlen
        return any(
            version == address.version and number >> (bits - length) << (bits - length) in starts
            for (version, length), starts in self._networks.items()
        )


def file_lines(data: bytes, checks: Sequence[Check]) -> list[str]:
    """The values in a file: one a line; blank lines and those that begin with `#` are left out.

    Raises ValueError with the number of the first line that is none.
    """
    lines: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            text = line.decode().strip()
            if text and not text.startswith(_COMMENT):
                for check in checks:
                    check(text)
                lines.append(text)
        except UnicodeDecodeError:
            raise ValueError(f"line {number}: expected UTF-8") from None
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if len(lines) > MOST_LINES:
            raise ValueError(f"expected at most {MOST_LINES:,} values")
    return lines


def map_entries(printed: bytes) -> Mapping[str, str]:
    """The keys with a tag and their values in lower case, from what `makemap -u` prints: key, tab, value a line.

    Raises ValueError for too many.
    """
    return _entries(line.split("\t", 1) for line in printed.decode("utf-8", "backslashreplace").split("\n"))


def text_map(data: bytes) -> Mapping[str, str]:
    """The same from a source of makemap: key, white space, value a line; `#` begins a comment. Raises ValueError."""
    text = data.decode("utf-8", "backslashreplace")
    return _entries(line.split(None, 1) for line in text.split("\n") if not line.startswith(_COMMENT))


def _entries(pairs: Iterable[Sequence[str]]) -> Mapping[str, str]:
    entries: dict[str, str] = {}
    for pair in pairs:
        if len(pair) == _PAIR and ":" in pair[0]:
            entries.setdefault(pair[0].lower(), pair[1].strip().lower())
        if len(entries) > MOST_LINES:
            raise ValueError(f"expected at most {MOST_LINES:,} keys with a tag")
    return entries


def has_key(entries: Mapping[str, str], tag: str, kind: Kind, value: str) -> bool | None:
    """Whether the first key of the map with this tag under which sendmail looks for the value is not SKIP.

    None if there is no such key.
    """
    for key in access_keys(kind, value):
        found = entries.get(f"{tag.lower()}:{key}")
        if found is not None:
            return found != _SKIP
    return None


def access_keys(kind: Kind, value: str) -> Iterator[str]:
    """The keys under which sendmail looks for a value, in its order; in lower case, as makemap writes them."""
    text = value.lower()
    match kind:
        case Kind.ADDRESS:
            address = text.removeprefix("<").removesuffix(">")
            yield from _of_address(address) if address else (text,)
        case Kind.HOST:
            yield from _domains(text)
        case Kind.NETWORK:
            yield from _prefixes(text)
        case Kind.TEXT:
            yield text


def _of_address(address: str) -> Iterator[str]:
    """Of an address without a domain, such as `postmaster`, those of its user."""
    user, domain = address.rpartition("@")[::2] if "@" in address else (address, "")
    bare, plus, _ = user.partition("+")
    users = (user, f"{bare}+*", bare) if bare and plus else (user,)
    if domain:
        yield from (f"{one}@{domain}" for one in users)
    yield from (f"{one}@" for one in users)
    if domain:
        yield from _domains(domain)


def _domains(name: str) -> Iterator[str]:
    """A domain and those above it; of an address in brackets its prefixes, in brackets."""
    if name.startswith("[") and name.endswith("]"):
        octets = name[1:-1].split(".")[:_LABELS]
        yield from (f"[{'.'.join(octets[:end])}]" for end in range(len(octets), 0, -1))
        return
    labels = name.split(".")[-_LABELS:]
    yield from (".".join(labels[at:]) for at in range(len(labels)))


def _prefixes(text: str) -> Iterator[str]:
    """`192.0.2.7`, `192.0.2`, `192.0`, `192`; IPv6 with `ipv6:` in front, in the long form of sendmail's macros."""
    address = ip_address_of(text)
    if address is None:
        return
    if isinstance(address, IPv6Address):
        groups = [f"{int(group, 16):x}" for group in address.exploded.split(":")]
        yield from (f"ipv6:{':'.join(groups[:end])}" for end in range(len(groups), 0, -1))
    else:
        octets = str(address).split(".")
        yield from (".".join(octets[:end]) for end in range(len(octets), 0, -1))
