"""Whether `miltscan run` can open its TCP sockets, for `miltscan check`: it binds each one, and listens on none."""

import errno
import os
from collections.abc import Iterator, Sequence

from miltscan.config.settings import Settings
from miltscan.core.address import InetAddress, Network
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.programs import listeners
from miltscan.doctor.topics import NOT_ROOT, denied
from miltscan.errors import StartError
from miltscan.processes.admission import install_filter
from miltscan.processes.listener import bind_port


def bind_findings(settings: Settings) -> Iterator[Finding]:
    """Every TCP socket of the service."""
    allow = settings.milter.allow
    for key, address, networks in (
        ("milter.socket", settings.milter.socket, allow),
        ("verify.socket", settings.verify.socket, allow),
        ("exporter.listen", settings.exporter.listen, ()),
    ):
        if isinstance(address, InetAddress):
            yield from port_findings(key, address, networks)


def port_findings(key: str, address: InetAddress, allow: Sequence[Network] = ()) -> Iterator[Finding]:
    """Whether this user can bind the address, or miltscan has done so; who enforces `allow` at a socket for MTAs."""
    try:
        with bind_port(address) as listener:
            unfiltered = install_filter(listener, allow)
    except StartError as problem:
        cause = problem.__cause__
        number = (cause.errno or 0) if isinstance(cause, OSError) else 0
        yield _used(key, address) if number == errno.EADDRINUSE else _unusable(key, str(problem), number)
        return
    yield ok(key, f"this user can listen on {address}")
    if allow and unfiltered:
        text = f"miltscan closes connections of other hosts; the kernel accepts no filter from this user: {unfiltered}"
        yield ok("milter.allow", text)
    elif allow:
        yield ok("milter.allow", "the kernel drops packets of other hosts, and miltscan closes their connections")


def _used(key: str, address: InetAddress) -> Finding:
    found = listeners(address.port)
    ours = [one for one in found if one.is_miltscan]
    if ours:
        return ok(key, f"miltscan listens on {address} (pid {ours[0].pid})")
    if found:
        return error(key, f"{found[0]} listens on port {address.port}", "stop it, or choose another port")
    text = f"a process that this user cannot see listens on port {address.port}"
    return warning(key, text, "run this command as root, to see whether it is miltscan").because(NOT_ROOT)


def _unusable(key: str, text: str, number: int) -> Finding:
    remedy = {
        errno.EACCES: "choose a port above 1023",
        errno.EADDRNOTAVAIL: "name an address of this host",
    }.get(number, "name an address of this host and a free port")
    return error(key, text.partition(" ")[2].partition(". Choose")[0], remedy).because(*denied(os.strerror(number)))
