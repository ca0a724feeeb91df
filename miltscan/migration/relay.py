"""The rules for the settings that every relay scanner has: ports, greeting, clients, size, next server.

The scanner was an SMTP server between the two sendmails. Now the incoming sendmail asks miltscan and hands over to
delivery itself: the scanner's port is gone, its clients are those of delivery, and its next server is delivery.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network

from miltscan.core.address import is_loopback
from miltscan.core.arguments import option_value
from miltscan.core.clamav_conf import parse_clamav_size
from miltscan.migration.draft import Conversion, Fate

_INCOMING_PORTS = {25, 465, 587}
_LAST_PORT = 65535
_OCTET = 8
_MOST_PARTS = 16  # of one network: each is in the same line of delivery.cf
_LEAST_BYTES = 2**16  # a smaller number without a unit is probably not in bytes
_LOOPBACK_NAME = "localhost.localdomain"  # in addition to localhost itself; older systems have it in /etc/hosts
_TRAILING_PORT = re.compile(r"[ :]+([0-9]{1,5})$")


def port(values: Sequence[str]) -> Conversion:
    """The port on which the scanner listened."""
    _port(values[0])
    why = "no program listens on it now: the incoming sendmail asks at milter.socket (SITE_MILTER)"
    return Conversion(Fate.NONE, why)


def address(_values: Sequence[str]) -> Conversion:
    """The address on which the scanner listened."""
    return Conversion(Fate.NONE, "only the two sendmails listen by SMTP (SITE_LISTEN, SITE_DELIVERY_LISTEN)")


def greeting(values: Sequence[str]) -> Conversion:
    """The first line that the scanner sent to a client."""
    if not values[0]:
        return Conversion(Fate.UNUSED)
    why = (
        "only the incoming sendmail received it; clients receive the greeting of incoming, confSMTP_LOGIN_MSG in a "
        "file that SITE_INCOMING names"
    )
    return Conversion(Fate.ELSEWHERE, why)


def clients(values: Sequence[str]) -> Conversion:
    """The clients that could connect to the scanner."""
    parts = [part for text in re.split(r"[,;\s]+", values[0]) if text for part in _networks(text)]
    if not parts:
        raise ValueError("expected addresses")
    site = {"SITE_DELIVERY_FROM": " ".join(dict.fromkeys(parts))}
    why = (
        "these are the incoming sendmails, which now connect to delivery; other clients receive 550; if miltscan runs "
        "on another host, add them to milter.allow"
    )
    return Conversion(Fate.SAME, why, site=site)


def _networks(text: str) -> Iterator[str]:
    """The address or network in sendmail's notation: complete addresses, or the leading octets of a network.

    The text may be `192.0.2.1`, `192.0.2.0/24`, `192.0.2.0:255.255.255.0`, `192.0.2.*`, an IPv6 address or localhost.
    """
    if text.lower() == "localhost":
        text = "127.0.0.1"
    if not re.search(r"[/*]|\.\d+:", text) and ":" in text:
        yield f"IPv6:{_ipv6(text)}"
        return
    octets = text.removesuffix("*").rstrip(".").split(".") if text.endswith(".*") else []
    padded = f"{'.'.join([*octets, '0', '0', '0', '0'][:4])}/{len(octets) * _OCTET}"
    try:
        network = ip_network(padded if octets else text.replace(":", "/"), strict=False)
    except ValueError:
        network = None
    if not isinstance(network, IPv4Network):
        raise ValueError(f"{text}: expected an address, or an IPv4 network")  # noqa: TRY004 - an error of the user
    whole = -(-network.prefixlen // _OCTET) * _OCTET
    if network.prefixlen == 0:
        raise ValueError(
            f"{text}: delivery must not be open to all hosts; name the incoming ones in SITE_DELIVERY_FROM"
        )
    if 2 ** (whole - network.prefixlen) > _MOST_PARTS:
        raise ValueError(f"{text}: sendmail supports whole octets only; name the incoming hosts in SITE_DELIVERY_FROM")
    for part in network.subnets(new_prefix=whole):
        yield ".".join(str(part.network_address).split(".")[: whole // _OCTET])


def _ipv6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except ValueError:
        raise ValueError(f"{text}: expected an address") from None


def message_size(values: Sequence[str]) -> Conversion:
    """The largest message."""
    size = parse_clamav_size(values[0])
    if size == 0:
        raise ValueError("miltscan always has a limit: limits.message_size keeps its default")
    if values[0].isdecimal() and size < _LEAST_BYTES:
        raise ValueError("the unit is unknown: set limits.message_size by hand")
    why = (
        "a larger message is rejected with 552 (policy.on_unscanned.too_large); clamd's StreamMaxLength, MaxFileSize "
        "and MaxScanSize must not be lower, which miltscan check compares"
    )
    return Conversion(Fate.CHANGED, why, {"limits.message_size": size}, {"SITE_MESSAGE_SIZE": str(size)})


def downstream(values: Sequence[str]) -> Conversion:
    """The next server: `HOST PORT`, `HOST:PORT`, `HOST`, or a program with its arguments."""
    text = values[0]
    if text.startswith("/"):
        return _program(shlex.split(text))
    found = _TRAILING_PORT.search(text)
    site = _delivery_host(text[: found.start()] if found else text)
    if found:
        site["SITE_DELIVERY_PORT"] = _delivery_port(found[1])
    return _handoff(site)


def downstream_host(values: Sequence[str]) -> Conversion:
    """The host of the next server."""
    return _handoff(_delivery_host(values[0]))


def downstream_port(values: Sequence[str]) -> Conversion:
    """The port of the next server."""
    return Conversion(Fate.SAME, site={"SITE_DELIVERY_PORT": _delivery_port(values[0])})


def _handoff(site: dict[str, str]) -> Conversion:
    why = "on that host set SITE_DELIVERY_LISTEN for delivery.cf, and name the incoming hosts in SITE_DELIVERY_FROM"
    if site["SITE_DELIVERY_HOST"] == "[127.0.0.1]":
        why = "the incoming sendmail hands over to it"
    return Conversion(Fate.SAME, why, site=site)


def _delivery_host(host: str) -> dict[str, str]:
    """Brackets mean that sendmail looks up no MX; a delivery sendmail on another host has to listen there."""
    name = host.strip().strip("[]")
    if not re.fullmatch(r"[\w.:-]+", name, re.ASCII):
        raise ValueError("expected HOST PORT, or the path of a program")
    if is_loopback(name) or name.lower() == _LOOPBACK_NAME:
        return {"SITE_DELIVERY_HOST": "[127.0.0.1]"}
    if ":" in name:
        return {"SITE_DELIVERY_HOST": f"[IPv6:{_ipv6(name)}]"}
    try:
        ip_address(name)
    except ValueError:
        return {"SITE_DELIVERY_HOST": f"[{name}]"}
    return {"SITE_DELIVERY_HOST": f"[{name}]", "SITE_DELIVERY_LISTEN": name}


def _delivery_port(text: str) -> str:
    number = _port(text)
    if number in _INCOMING_PORTS:
        why = f"{number} is a port of the incoming side: delivery keeps SITE_DELIVERY_PORT"
        raise ValueError(f"{why}; for mail to another server set SITE_SMART_HOST or mailertable")
    return str(number)


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) <= _LAST_PORT):
        raise ValueError("expected a port")
    return int(text)


def _program(arguments: Sequence[str]) -> Conversion:
    """A sendmail that is started for each message: `/usr/lib/sendmail -bs -C/etc/mail/delivery.cf`."""
    if "-bs" not in arguments:
        raise ValueError("expected a sendmail with -bs, which speaks SMTP on its standard input")
    site = {"SITE_HANDOFF": "program", "SITE_DELIVERY_PROGRAM": arguments[0]}
    if file := option_value(arguments, "-C"):
        site["SITE_DELIVERY_CF"] = file
    why = (
        "the incoming sendmail starts it; port 19000, the default, is faster, and its queue needs a queue runner: -q1h"
    )
    return Conversion(Fate.SAME, why, {"queues.delivery_port": 0}, site)
