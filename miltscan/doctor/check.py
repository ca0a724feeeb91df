"""`miltscan check`: looks at the world around the service and says what does not fit, with a remedy; changes nothing.

An error is what would break mail or the start of the service; a warning is what makes it worse than it seems.
"""

import grp
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from miltscan.config.keyfile import load_keys
from miltscan.config.settings import HeaderMode, Settings
from miltscan.config.units import show_size
from miltscan.core.action import ActionName
from miltscan.core.address import Address, InetAddress, Network, is_loopback
from miltscan.core.finding import Finding, Level
from miltscan.doctor.clamd_check import AskServers, clamd_findings, probe_clamd
from miltscan.doctor.exporter_check import exporter_findings
from miltscan.errors import ConfigError
from miltscan.sandwich.queues import look
from miltscan.telemetry.traces import INSTALL, installed


def check_findings(settings: Settings, probe: AskServers = probe_clamd) -> Iterator[Finding]:
    """All that can be said of the world that these settings name."""
    yield from socket_finding(settings)
    yield from group_finding(settings.milter.socket_group)
    yield from receipt_findings(settings)
    yield from spool_finding(Path(settings.spool.directory), settings)
    yield from queue_depth_findings({"incoming": settings.queues.incoming, "delivery": settings.queues.delivery})
    yield from policy_findings(settings)
    yield from exporter_findings(settings.exporter)
    yield from tracing_finding(settings.tracing.endpoint)
    yield from clamd_findings(settings, probe)


def socket_finding(settings: Settings) -> Iterator[Finding]:
    """Whether the MTA can reach the milter socket, and nobody else."""
    return _socket(settings.milter.socket, settings.milter.allow)


def _socket(address: Address, allow: Sequence[Network]) -> Iterator[Finding]:
    if isinstance(address, InetAddress):
        yield _tcp(address, allow)
    else:
        yield from socket_folder(Path(address.path))


def _tcp(address: InetAddress, allow: Sequence[Network]) -> Finding:
    """The milter protocol has neither password nor encryption."""
    if is_loopback(address.host):
        return Finding(Level.OK, "milter.socket", f"{address} is on loopback")
    others = [network for network in allow if not network.is_loopback]
    if not others:
        text = f"{address} is for other hosts, but milter.allow lists none"
        return Finding(Level.WARNING, "milter.allow", text, "list the hosts of the MTA there")
    if any(network.prefixlen == 0 for network in others):
        return Finding(Level.WARNING, "milter.allow", "everybody may connect", "list the hosts of the MTA alone")
    text = f"{address} takes mail in clear text from {', '.join(map(str, others))}"
    return Finding(Level.WARNING, "milter.socket", text, "see that the way is a tunnel: docs/machines.md")


def socket_folder(path: Path) -> Iterator[Finding]:
    """The folder of a unix socket: there, ours to write, and safe in sendmail's eyes."""
    folder = path.parent
    try:
        yield from _socket_folder(path, folder, folder.stat())
    except FileNotFoundError:
        yield Finding(Level.ERROR, "milter.socket", f"folder {folder} does not exist", f"run: install -d {folder}")
    except OSError as error:
        text = f"folder {folder} cannot be looked at by {_user()}: {error.strerror}"
        yield Finding(Level.ERROR, "milter.socket", text, "run this as root, or choose another path")


def _socket_folder(path: Path, folder: Path, status: os.stat_result) -> Iterator[Finding]:
    """As above. Raises OSError where it may not look."""
    if not stat.S_ISDIR(status.st_mode):
        yield Finding(Level.ERROR, "milter.socket", f"{folder} is no folder", "choose another path")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(Level.ERROR, "milter.socket", f"folder {folder} is not writable", f"make {_user()} its owner")
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            yield Finding(Level.ERROR, "milter.socket", f"{path} is no socket", "move it away or choose another path")
    for unsafe in _world_writable(folder):
        text = f"{unsafe} is world-writable: sendmail refuses a socket below it"
        yield Finding(Level.ERROR, "milter.socket", text, "choose a path such as /run/miltscan/miltscan.sock")
    yield Finding(Level.OK, "milter.socket", f"folder {folder} has mode {stat.S_IMODE(status.st_mode):04o}")


def _world_writable(folder: Path) -> list[Path]:
    real = folder.resolve()
    return [each for each in (real, *real.parents) if each.stat().st_mode & stat.S_IWOTH]


def _user() -> str:
    return f"user {os.geteuid()}"


def group_finding(name: str) -> Iterator[Finding]:
    """Whether the socket can be given to this group."""
    if not name:
        return
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        text = f'group "{name}" does not exist'
        yield Finding(Level.ERROR, "milter.socket_group", text, f"run: groupadd --system {name}")
        return
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        text = f'{_user()} is not in group "{name}" and cannot give it the socket'
        yield Finding(Level.ERROR, "milter.socket_group", text, "add the user to the group")
    else:
        yield Finding(Level.OK, "milter.socket_group", f'group "{name}" exists')


def spool_finding(folder: Path, settings: Settings) -> Iterator[Finding]:
    """Whether the spool folder takes unnamed files, and has room for them."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))
    except OSError as error:
        text = f"{folder} cannot take a message: {error.strerror}"
        yield Finding(Level.ERROR, "spool.directory", text, f"needed: a folder that {_user()} can write, no NFS")
        return
    room = os.statvfs(folder)
    yield spool_space_finding(room.f_bavail * room.f_frsize, settings)


def spool_space_finding(free: int, settings: Settings) -> Finding:
    """Whether `free` bytes hold the largest message, and as many of them as are scanned at once."""
    largest, all_at_once = settings.limits.message_size, settings.limits.message_size * settings.limits.concurrent_scans
    remedy = "free some, or lower limits.message_size or limits.concurrent_scans"
    text = f"{free // 2**20}MiB free"
    if free < largest:
        text = f"{text}, less than one message of limits.message_size = {show_size(largest)}"
        return Finding(Level.ERROR, "spool.directory", text, remedy)
    if free < all_at_once:
        text = f"{text}, less than limits.concurrent_scans messages of the largest size ({show_size(all_at_once)})"
        return Finding(Level.WARNING, "spool.directory", text, remedy)
    return Finding(Level.OK, "spool.directory", text)


def queue_depth_findings(queues: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the metrics can tell how much waits in these queues; an empty path is none."""
    for name, path in queues.items():
        key = f"queues.{name}"
        try:
            if path:
                found = look(path)
                yield Finding(Level.OK, key, f"{path} can be read: {found.entries} messages wait")
        except FileNotFoundError:
            remedy = f'name the QueueDirectory of the {name} sendmail, or "" if it runs elsewhere'
            yield Finding(Level.WARNING, key, f"{path} does not exist: no metrics of it", remedy)
        except OSError as error:
            remedy = f"let {_user()} list it: docs/metrics.md"
            yield Finding(Level.WARNING, key, f"{path} cannot be read: {error.strerror}; no metrics of it", remedy)


def receipt_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the delivery side can believe what the incoming side signs."""
    verifies = settings.verify.socket is not None
    try:
        keys = load_keys(settings.keys.file)
    except ConfigError as problem:
        for line in str(problem).splitlines():
            yield Finding(Level.ERROR, "keys.file", line, f"a line `ID HEXKEY` for each key, read by {_user()} alone")
        return
    if settings.verify.socket:
        for finding in _socket(settings.verify.socket, settings.milter.allow):
            yield replace(finding, subject="verify.socket")
    if keys:
        yield Finding(Level.OK, "keys.file", f"{len(keys)} keys, {keys[0].id} signs")
    elif verifies:
        text = "there is no key: no receipt is made or believed, and the delivery side scans each message once more"
        yield Finding(Level.WARNING, "keys.file", text, "set keys.file and run: miltscan keys new")


_FAIL_OPEN = {"policy.on_error", "policy.on_unscanned.no_engine"}
_NEVER_BETTER = {f"policy.on_unscanned.{name}" for name in ("too_large", "limits", "encrypted")}


def policy_findings(settings: Settings) -> Iterator[Finding]:
    """Choices of the administrator that have a price."""
    policy = settings.policy_for("")
    if policy.on_infected is ActionName.ACCEPT:
        yield Finding(Level.WARNING, "policy.on_infected", "infected mail is accepted", 'use "reject"')
    yield from _unscanned("policy.on_error", policy.on_error, settings.headers.mode)
    for limit, action in policy.on_unscanned.items():
        yield from _unscanned(f"policy.on_unscanned.{limit.replace('-', '_')}", action, settings.headers.mode)


def _unscanned(key: str, action: ActionName, mode: HeaderMode) -> Iterator[Finding]:
    """The price of this action for mail that was not scanned."""
    accepted = action is ActionName.ACCEPT
    if action is ActionName.DISCARD:
        yield Finding(Level.WARNING, key, "mail is lost that may be harmless", 'use "tempfail" or "hold"')
    if action is ActionName.TEMPFAIL and key in _NEVER_BETTER:
        yield Finding(Level.WARNING, key, "trying again will not change it", 'use "reject", "hold" or "accept"')
    if accepted and key in _FAIL_OPEN:
        yield Finding(Level.WARNING, key, "while clamd is down all mail passes unscanned", 'use "tempfail"')
    if accepted and mode is HeaderMode.NONE:
        text = 'unscanned mail is accepted, and with headers.mode = "none" nothing marks it'
        yield Finding(Level.WARNING, key, text, 'set headers.mode = "replace", or another action')


def tracing_finding(endpoint: str) -> Iterator[Finding]:
    """Whether the packages for traces are there, if any are wanted; without them the service runs all the same."""
    if endpoint and not installed():
        text = "OpenTelemetry is not installed, nothing is traced"
        yield Finding(Level.WARNING, "tracing.endpoint", text, f"run: {INSTALL}")
    elif endpoint:
        yield Finding(Level.OK, "tracing.endpoint", f"traces go to {endpoint}")
