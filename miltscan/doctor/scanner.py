"""Where the milter socket of incoming leads, if not to miltscan itself: to a proxy of this host, or to another host."""

from collections.abc import Iterator

from miltscan.core.address import Address, InetAddress, is_loopback, parse_address
from miltscan.core.finding import Finding, ok
from miltscan.doctor import ports
from miltscan.doctor.programs import RunningProgram, listeners, unix_listeners
from miltscan.sandwich.cf import CfFile

PROXIES = frozenset({"haproxy", "stunnel", "stunnel3", "stunnel4", "stunnel5"})
"""Programs that hand a milter connection on as it is; docs/machines.md shows both."""
_REMEDY = "see miltscan and milter.allow on the scanner, and which scanners a proxy takes for ready"


def proxied(conf: CfFile, ours: Address) -> frozenset[Address]:
    """The sockets of this host that incoming asks and at which a proxy listens; `ours` is miltscan's own."""
    return frozenset(address for address in _asked(conf) - {ours} if _is_here(address) and proxy(address))


def elsewhere(conf: CfFile, ours: Address) -> list[Address]:
    """The sockets by which incoming asks a miltscan that may be another host's; `ours` is that of this host."""
    proxies = proxied(conf, ours)
    return sorted((one for one in _asked(conf) - {ours} if one in proxies or not _is_here(one)), key=str)


def proxy(address: Address) -> RunningProgram | None:
    """The proxy that listens at a socket of this host; None if nobody, or something else, does."""
    found = listeners(address.port) if isinstance(address, InetAddress) else unix_listeners(address.path)
    return next((one for one in found if one.program in PROXIES), None)


def scanner_findings(address: Address) -> Iterator[Finding]:
    """Whether a filter answers there; what is behind it only a message can show."""
    subject = f"milter {address}"
    if _is_here(address) and (found := proxy(address)):
        yield ok(subject, f"{found} listens, and hands on what it is asked")
    yield ports.negotiation_finding(subject, address, _REMEDY)


def _asked(conf: CfFile) -> set[Address]:
    """The sockets of the filters that a daemon asks, as far as they make sense."""
    found = set()
    for daemon in conf.daemons:
        for one in conf.asked(daemon):
            try:
                found.add(parse_address(one.socket))
            except ValueError:
                continue
    return found


def _is_here(address: Address) -> bool:
    return not isinstance(address, InetAddress) or is_loopback(address.host)
