"""S= of an X line, sendmail's notation of a milter's address: written for our addresses, and read as sendmail does.

    S=[unix:|local:]/PATH    S=inet:PORT@IPV4-OR-NAME    S=inet6:PORT@IPV6-OR-NAME

The rules are those of milter_open in sendmail/milter.c, 8.14 to 8.18; tests/e2e/test_milter_spec.py tries each form
with a real sendmail. sendmail reads S= when it starts, and does not start if it cannot read it. It loses the length of
an address in brackets, so that connect(2) fails and all mail is tempfailed. Only inet6: accepts IPv6.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from miltscan.core.address import LONGEST_PATH, Address, InetAddress, UnixAddress

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a client reaches a listener on all addresses
_NO_START = "sendmail does not start"
_NO_MAIL = "sendmail starts, but cannot connect: 451 for all mail"
_IPV4_PARTS = re.compile(r"(?:0[0-7]*|[1-9]\d*)(?:\.(?:0[0-7]*|[1-9]\d*)){0,3}", re.ASCII)
_BYTE = 256
_SPECIAL = re.compile(r'[,"\\]')


@dataclass(frozen=True, slots=True)
class MilterSpec:
    """How sendmail reads S=: the address (None: unknown), and why it cannot ask there.

    sendmail asks if both `no_start` and `no_mail` are empty.
    """

    address: Address | None
    no_start: str = ""
    no_mail: str = ""

    @property
    def problem(self) -> str:
        """One line, with the consequence; empty if sendmail asks at the address."""
        if self.no_start:
            return f"{_NO_START}: {self.no_start}"
        return f"{_NO_MAIL}: {self.no_mail}" if self.no_mail else ""


def write_milter_spec(address: Address) -> str:
    """The S= for one of our addresses; the loopback address if that means all addresses of a family."""
    if isinstance(address, UnixAddress):
        return "unix:" + _SPECIAL.sub(r"\\\g<0>", address.path)  # a comma ends the field
    host = _LOOPBACK.get(address.host, address.host)
    return f"{'inet6' if ':' in host else 'inet'}:{address.port}@{host}"


def read_milter_spec(text: str, service: Callable[[str], int | None] = lambda _name: None) -> MilterSpec:
    """How sendmail reads a value of S= without quotes; `service` finds the port of a name in services(5)."""
    family, colon, rest = text.partition(":")
    if not colon:
        family, rest = "", text
    match family.lower():
        case "" | "unix" | "local":
            return _unix(rest) if text else MilterSpec(None, no_start="S= is empty")
        case "inet" | "inet6" as known:
            return _inet(rest, inet6=known == "inet6", service=service)
        case _:
            return MilterSpec(None, no_start=f'"{family}:" is not unix:, local:, inet: or inet6:')


def _unix(path: str) -> MilterSpec:
    if len(path.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
        return MilterSpec(None, no_start=f"the socket path is longer than {LONGEST_PATH} bytes")
    if not path.startswith("/"):
        return MilterSpec(None, no_mail="the socket path is not absolute")
    return MilterSpec(UnixAddress(path))


def _inet(text: str, *, inet6: bool, service: Callable[[str], int | None]) -> MilterSpec:
    named, at, host = text.partition("@")
    if not at:
        return MilterSpec(None, no_start="expected PORT@HOST")
    digits = re.match(r"\d*", named, re.ASCII)
    number = int(digits[0][:20]) % 65536 if digits and digits[0] else service(named)  # atoi(3), cut to 16 bits
    if number is None:
        return MilterSpec(None, no_start=f'no port has the name "{named}" in /etc/services')
    spec = _host(host, number, inet6=inet6)
    if number == 0 and not spec.no_start:
        return MilterSpec(None, no_mail="no socket has port 0")
    return spec


def _host(host: str, port: int, *, inet6: bool) -> MilterSpec:
    """The part after `@`: brackets may only contain an address of the family, and then prevent the connection."""
    bracketed = host.startswith("[")
    bare = host[1:].partition("]")[0] if bracketed else host
    if bracketed and inet6 and bare.lower().startswith("ipv6:"):
        bare = bare[5:]
    ip = _ipv6(bare) or _ipv4(bare)
    address = InetAddress(ip or bare, port)
    if bracketed and "]" not in host:
        return MilterSpec(address if ip else None, no_start="the closing bracket is missing")
    if ip and (":" in ip) is not inet6:
        family, other = ("inet6:", "IPv4") if inet6 else ("inet:", "IPv6")
        return MilterSpec(address, no_start=f"{family} takes no {other} address")
    if bracketed and not ip:
        return MilterSpec(None, no_start="the brackets do not contain an address")
    if bracketed:
        return MilterSpec(address, no_mail="the address is in brackets")
    if not ip and not re.fullmatch(r"[\w.-]+", bare, re.ASCII):
        return MilterSpec(None, no_start=f'"{bare}" is not a host')
    return MilterSpec(address)


def _ipv6(text: str) -> str | None:
    try:
        return None if "%" in text else str(ipaddress.IPv6Address(text))  # sendmail takes no zone
    except ValueError:
        return None


def _ipv4(text: str) -> str | None:
    """The address in one of the forms of inet_addr(3), such as 127.1; None for any other text."""
    if not _IPV4_PARTS.fullmatch(text) or len(text) > len("0377.0377.0377.0377"):
        return None
    parts = [int(part, 8) if part.startswith("0") else int(part) for part in text.split(".")]
    *first, last = parts
    if any(part >= _BYTE for part in first) or last >= _BYTE ** (4 - len(first)):
        return None
    return str(ipaddress.IPv4Address(sum(part * _BYTE ** (3 - place) for place, part in enumerate(first)) + last))
