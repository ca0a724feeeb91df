"""What becomes of the settings that every relay scanner has: ports, greeting, clients, size, next server. It is pure.

The scanner stood between the two sendmails and was spoken to by SMTP. Now the incoming sendmail asks miltscan and hands
over to delivery itself: the scanner's port is gone, its clients are those of delivery, its next server is delivery.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network

from miltscan.core.address import is_loopback
from miltscan.migration.clamav_milter import clamav_size
from miltscan.migration.draft import Conversion, Fate

_INCOMING_PORTS = {25, 465, 587}
_LAST_PORT = 65535
_OCTET = 8
_MOST_PARTS = 16  # of one network: each stands in the same line of delivery.cf
_LEAST_BYTES = 2**16  # a number below this without a unit is hardly bytes
_LOOPBACK_NAME = "localhost.localdomain"  # beside localhost itself; older systems have it in /etc/hosts
_PORT_HERE = re.compile(r"[ :]+([0-9]{1,5})$")


def port(values: Sequence[str]) -> Conversion:
    """Where the scanner listened."""
    _port(values[0])
    why = "nothing listens there any more: the incoming sendmail asks at milter.socket (SITE_MILTER)"
    return Conversion(Fate.NONE, why)


def address(_values: Sequence[str]) -> Conversion:
    """At which address the scanner listened."""
    return Conversion(Fate.NONE, "nothing listens by SMTP but the two sendmails (SITE_LISTEN, SITE_DELIVERY_LISTEN)")


def greeting(values: Sequence[str]) -> Conversion:
    """The first line that a client of the scanner heard."""
    if not values[0]:
        return Conversion(Fate.UNUSED)
    why = (
        "only the incoming sendmail heard it; clients hear that of incoming itself, confSMTP_LOGIN_MSG in a file that "
        "SITE_INCOMING names"
    )
    return Conversion(Fate.ELSEWHERE, why)


def clients(values: Sequence[str]) -> Conversion:
    """Who was allowed to speak to the scanner."""
    parts = [part for text in re.split(r"[,;\s]+", values[0]) if text for part in _parts(text)]
    if not parts:
        raise ValueError("expected addresses")
    site = {"SITE_DELIVERY_FROM": " ".join(dict.fromkeys(parts))}
    why = (
        "they were the incoming sendmails, and now speak to delivery themselves; all others hear 550; a scanner on "
        "a host of its own wants them in milter.allow"
    )
    return Conversion(Fate.SAME, why, site=site)


def _parts(text: str) -> Iterator[str]:
    """The address or network as sendmail names it: whole addresses or leading octets of them."""
    if text.lower() == "localhost":
        text = "127.0.0.1"
    if not re.search(r"[/*]|\.\d+:", text) and ":" in text:
        yield f"IPv6:{_ipv6(text)}"
        return
    network = _network(text)
    whole = -(-network.prefixlen // _OCTET) * _OCTET
    if network.prefixlen == 0:
        raise ValueError(f"{text}: delivery is not open to everybody; name the incoming hosts in SITE_DELIVERY_FROM")
    if 2 ** (whole - network.prefixlen) > _MOST_PARTS:
        raise ValueError(f"{text}: sendmail knows whole octets only; name the incoming hosts in SITE_DELIVERY_FROM")
    for part in network.subnets(new_prefix=whole):
        yield ".".join(str(part.network_address).split(".")[: whole // _OCTET])


def _ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError:
        raise ValueError(f"{text}: expected an address") from None


def _network(text: str) -> IPv4Network:
    """`192.0.2.1`, `192.0.2.0/24`, `192.0.2.0:255.255.255.0`, `192.0.2.*`."""
    octets = text.removesuffix("*").rstrip(".").split(".") if text.endswith(".*") else []
    padded = f"{'.'.join([*octets, '0', '0', '0', '0'][:4])}/{len(octets) * _OCTET}"
    try:
        network = ip_network(padded if octets else text.replace(":", "/"), strict=False)
    except ValueError:
        network = None
    if not isinstance(network, IPv4Network):
        raise ValueError(f"{text}: expected an address, or a network of IPv4")  # noqa: TRY004 - of a user's text
    return network


def message_size(values: Sequence[str]) -> Conversion:
    """The largest message."""
    size = clamav_size(values[0])
    if size == 0:
        raise ValueError("no limit at all is not to be had: limits.message_size keeps its default")
    if values[0].isdecimal() and size < _LEAST_BYTES:
        raise ValueError("its unit is not known: set limits.message_size by hand")
    why = (
        "what is above is refused with 552 (policy.on_unscanned.too_large); clamd's StreamMaxLength, MaxFileSize and "
        "MaxScanSize must not be below: miltscan check"
    )
    return Conversion(Fate.CHANGED, why, {"limits.message_size": size})


def downstream(values: Sequence[str]) -> Conversion:
    """The next server: `HOST PORT`, `HOST:PORT`, `HOST`, or a program with its arguments."""
    text = values[0]
    if text.startswith("/"):
        return _program(shlex.split(text))
    found = _PORT_HERE.search(text)
    site = _host_site(text[: found.start()] if found else text)
    if found:
        site["SITE_DELIVERY_PORT"] = str(_delivery_port(found[1]))
    return Conversion(Fate.SAME, _delivery_why(site), site=site)


def downstream_host(values: Sequence[str]) -> Conversion:
    """The next server's host."""
    site = _host_site(values[0])
    return Conversion(Fate.SAME, _delivery_why(site), site=site)


def downstream_port(values: Sequence[str]) -> Conversion:
    """The next server's port."""
    return Conversion(Fate.SAME, site={"SITE_DELIVERY_PORT": str(_delivery_port(values[0]))})


def _delivery_why(site: dict[str, str]) -> str:
    if site["SITE_DELIVERY_HOST"] == "[127.0.0.1]":
        return "the incoming sendmail hands over to it itself"
    return "on that host: delivery.cf with SITE_DELIVERY_LISTEN, and the incoming hosts in SITE_DELIVERY_FROM"


def _host_site(host: str) -> dict[str, str]:
    """Brackets: no MX look-up; a delivery sendmail on another host has to listen there."""
    name = host.strip().strip("[]")
    if not re.fullmatch(r"[\w.:-]+", name, re.ASCII):
        raise ValueError("expected HOST PORT, or the path of a program")
    if is_loopback(name) or name.lower() == _LOOPBACK_NAME:
        return {"SITE_DELIVERY_HOST": "[127.0.0.1]"}
    if ":" in name:
        return {"SITE_DELIVERY_HOST": f"[IPv6:{_ipv6(name)}]"}
    return {"SITE_DELIVERY_HOST": f"[{name}]"} | ({"SITE_DELIVERY_LISTEN": name} if _is_address(name) else {})


def _is_address(name: str) -> bool:
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def _delivery_port(text: str) -> int:
    number = _port(text)
    if number in _INCOMING_PORTS:
        why = f"{number} is a port of the incoming side: delivery keeps SITE_DELIVERY_PORT"
        raise ValueError(f"{why}; where it is to send mail on, that is SITE_SMART_HOST or mailertable")
    return number


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) <= _LAST_PORT):
        raise ValueError("expected a port")
    return int(text)


def _program(arguments: Sequence[str]) -> Conversion:
    """A sendmail that is started for each message: `/usr/lib/sendmail -bs -C/etc/mail/delivery.cf`."""
    if "-bs" not in arguments:
        raise ValueError("expected a sendmail with -bs, which speaks SMTP on its standard input")
    site = {"SITE_HANDOFF": "program", "SITE_DELIVERY_PROGRAM": arguments[0]}
    if file := _configuration(arguments):
        site["SITE_DELIVERY_CF"] = file
    why = (
        "started by the incoming sendmail now; slower than port 19000 (the default), and its queue wants a runner: -q1h"
    )
    return Conversion(Fate.SAME, why, site=site)


def _configuration(arguments: Sequence[str]) -> str:
    for here, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if here.startswith("-C"):
            return here[2:] or following
    return ""
