"""Where the filters of incoming lead, if not to miltscan itself: to a proxy of this host, or to another host."""

from collections.abc import Iterator

from miltscan.core.address import Address
from miltscan.core.finding import Finding, ok
from miltscan.doctor import ports
from miltscan.doctor.filter_rules import spec_of
from miltscan.doctor.programs import RunningProgram, listeners_at
from miltscan.sandwich.cf import CfFile

PROXIES = frozenset({"haproxy", "stunnel", "stunnel3", "stunnel4", "stunnel5"})
"""Programs that forward a milter connection unchanged; docs/machines.md shows both."""
_REMEDY = "check miltscan and milter.allow on the scanner, and which scanners the proxy considers ready"


def proxied(conf: CfFile, ours: Address) -> frozenset[Address]:
    """The sockets of this host that incoming asks and on which a proxy listens; `ours` is miltscan's own."""
    return frozenset(address for address in _asked(conf) - {ours} if address.is_loopback and proxy(address))


def remote_scanners(conf: CfFile, ours: Address) -> list[Address]:
    """The sockets at which incoming may ask a miltscan of another host; `ours` is that of this host."""
    proxies = proxied(conf, ours)
    return sorted((one for one in _asked(conf) - {ours} if one in proxies or not one.is_loopback), key=str)


def proxy(address: Address) -> RunningProgram | None:
    """The proxy that listens on a socket of this host; None if no process or another program does."""
    return next((one for one in listeners_at(address) if one.program in PROXIES), None)


def scanner_findings(address: Address) -> Iterator[Finding]:
    """Whether a filter answers; only a message shows what is behind a proxy."""
    subject = f"milter {address}"
    if address.is_loopback and (found := proxy(address)):
        yield ok(subject, f"{found} listens on it and forwards connections")
    yield ports.negotiation_finding(subject, address, _REMEDY)


def _asked(conf: CfFile) -> set[Address]:
    """The sockets of the filters that the daemons ask; an S= that sendmail cannot use is left out."""
    specs = (spec_of(one) for daemon in conf.daemons for one in conf.filters_of(daemon))
    return {spec.address for spec in specs if spec.address and not spec.problem}
