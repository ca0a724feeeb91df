"""Whether each clamd can read a spool file by its descriptor: miltscan gives it the test signature in such a file.

`miltscan check` gives clamd a memory file, which no security module and no mount restricts. A file of the spool folder
is what clamd's AppArmor profile, SELinux or a container may refuse.
"""

import os
import time
from collections.abc import Iterator

from miltscan.config.settings import Settings
from miltscan.core.address import Address, UnixAddress
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.clamd_limits import clamd_servers
from miltscan.doctor.host import apparmor_finding
from miltscan.doctor.programs import label, listeners_at
from miltscan.doctor.topics import denied, no_engine
from miltscan.engines.clamd.canary import canary_mail, missed
from miltscan.engines.clamd.client import test_signature
from miltscan.engines.clamd.server import ClamdServer
from miltscan.engines.wire import targets

_SCAN_TIMEOUT = 10.0  # seconds for a message of a few hundred bytes


def access_findings(settings: Settings) -> Iterator[Finding]:
    """Two findings for each clamd: what it reads, and the AppArmor profile that confines it."""
    for engine, address in clamd_servers(settings):
        why, refused = _scan_spool_file(engine.name, address, settings.spool.directory)
        found = access_finding(f"{engine.name} {address}", settings.spool.directory, why, refused=refused)
        yield found.because(*denied(why), no_engine(f"{engine.name} {address}"))
        yield from (apparmor_finding(one.program, label(one.pid)) for one in listeners_at(address)[:1])


def _scan_spool_file(engine: str, address: Address, folder: str) -> tuple[str, bool]:
    """Why the test signature in a file of this folder was missed (empty if found), and whether its descriptor was."""
    server = ClamdServer(engine, address)
    try:
        server.target = targets(address)[0]
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
        try:
            os.write(descriptor, canary_mail(os.urandom(16).hex().encode(), test_signature()))
            why = missed(server.exchange(descriptor, time.monotonic() + _SCAN_TIMEOUT, lambda: None))
        finally:
            os.close(descriptor)
    except OSError as problem:
        why = problem.strerror or str(problem)
    return why, isinstance(address, UnixAddress) and not server.takes_descriptor


def access_finding(server: str, folder: str, why: str, *, refused: bool) -> Finding:
    """`why` is the reason for a missed test signature, empty if it was found.

    `refused` means that clamd did not accept the descriptor, so that the file was sent over the connection.
    """
    subject = f"{server} on {folder}"
    remedy = f'AppArmor: write "{folder}/** r," in /etc/apparmor.d/local/usr.sbin.clamd; SELinux: ausearch -m avc'
    if why:
        return error(subject, f"cannot scan a file in this folder: {why}", remedy)
    if refused:
        return warning(subject, "cannot read files there: miltscan sends it each message, which costs CPU", remedy)
    return ok(subject, "detects the test signature in a file in this folder")
