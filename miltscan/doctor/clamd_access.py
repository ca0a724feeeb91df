"""Whether each clamd reads what miltscan hands it: a test signature in a file of the spool folder, by descriptor.

`miltscan check` lets a memory file be scanned, which no security module and no mount keeps from clamd; a file of the
spool folder is what AppArmor's profile of clamd, SELinux or a container may refuse.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from miltscan.config.settings import Settings
from miltscan.core.address import Address, UnixAddress
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.host import apparmor_finding
from miltscan.doctor.programs import label, listeners, unix_listeners
from miltscan.engines.clamd.canary import canary_mail, missed
from miltscan.engines.clamd.client import test_signature
from miltscan.engines.clamd.server import ClamdServer
from miltscan.engines.wire import targets

_PATIENCE = 10.0  # seconds for a mail of a few hundred bytes


def access_findings(settings: Settings) -> Iterator[Finding]:
    """One for each server, and what confines it."""
    for address in (server for engine in settings.engines for server in engine.servers):
        yield _read(address, settings.spool.directory)
        found = unix_listeners(address.path) if isinstance(address, UnixAddress) else listeners(address.port)
        yield from (apparmor_finding(one.program, label(one.pid)) for one in found[:1])


def _read(address: Address, folder: str) -> Finding:
    server = ClamdServer(address)
    try:
        server.target = targets(address)[0]
        with _spooled(folder) as descriptor:
            why = missed(server.exchange(descriptor, time.monotonic() + _PATIENCE, lambda: None))
    except OSError as problem:
        why = str(problem)
    by_descriptor = isinstance(address, UnixAddress)
    return access_finding(str(address), folder, why, refused=by_descriptor and not server.takes_descriptor)


def access_finding(server: str, folder: str, why: str, *, refused: bool) -> Finding:
    """`why` the canary was missed, empty if it was found; `refused`: it had to be sent, as no descriptor was taken."""
    subject = f"clamd {server} on {folder}"
    remedy = f'AppArmor: write "{folder}/** r," in /etc/apparmor.d/local/usr.sbin.clamd; SELinux: ausearch -m avc'
    if why:
        return error(subject, f"cannot scan a file there: {why}", remedy)
    if refused:
        return warning(subject, "may not read files there: each message is sent to it, which costs CPU", remedy)
    return ok(subject, "finds the test signature in a file there")


@contextmanager
def _spooled(folder: str) -> Iterator[int]:
    """A descriptor of an unnamed file there, as the spool of a large message is one. Raises OSError."""
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    try:
        os.write(descriptor, canary_mail(os.urandom(16).hex().encode(), test_signature()))
        yield descriptor
    finally:
        os.close(descriptor)
