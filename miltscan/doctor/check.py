"""`miltscan check`: compares the settings with the surroundings of the service. It changes nothing.

An error would stop the service or mail; a warning is about mail, metrics or secrets that may be lost later.
"""

import grp
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from errno import ENOENT
from pathlib import Path

from miltscan.config.keyfile import load_keys
from miltscan.config.load import DEFAULT_PATH
from miltscan.config.ownership import loose_places, names_secrets, service_user
from miltscan.config.settings import Settings
from miltscan.config.tables import HeaderMode
from miltscan.core import faults
from miltscan.core.action import ActionName, Choice
from miltscan.core.address import Address, Network, UnixAddress, beyond_loopback
from miltscan.core.finding import Finding, Level, error, ok, warning
from miltscan.doctor.antispam_check import spam_findings
from miltscan.doctor.bind_check import bind_findings
from miltscan.doctor.clamd_check import ProbeEngines, engine_findings, run_self_tests
from miltscan.doctor.expected import passing_findings
from miltscan.doctor.exporter_check import exporter_findings, metrics_folder_findings
from miltscan.doctor.host import room_finding
from miltscan.doctor.key_check import unread_key_findings
from miltscan.doctor.list_check import list_findings
from miltscan.doctor.notice_check import notice_findings
from miltscan.doctor.quarantine_check import quarantine_findings
from miltscan.doctor.rights import folders_above
from miltscan.doctor.source_check import source_findings
from miltscan.doctor.topics import NO_MILTSCAN, NO_SPOOL, NOT_ROOT, denied, loose_folder, no_file, old_mail
from miltscan.doctor.unpack_check import unpack_findings
from miltscan.errors import ConfigError
from miltscan.sandwich.queues import read_depth
from miltscan.scanning.assemble import policy_for
from miltscan.telemetry.traces import INSTALL, installed

_LOCAL_DISK = "choose a folder on a local disk that miltscan's user can write to"
_AT_START = (Path("/run"), Path("/var/run"))
_PERMANENT = {f"policy.on_unscanned.{name}" for name in ("too_large", "limits", "encrypted")}
"""Reasons that a later attempt of the client does not change."""

_NO_VERIFIER = "verify.socket is not set, nor is receipt.remote_verifier"


def check_findings(
    settings: Settings, probe: ProbeEngines = run_self_tests, *, configuration: Path | None = None
) -> Iterator[Finding]:
    """Every finding about what these settings name; `probe` runs the self-test of each server.

    `configuration` is the file of these settings.
    """
    yield from listen_findings("milter.socket", settings.milter.socket, settings.milter.allow)
    yield from group_findings(settings.milter.socket_group)
    yield from receipt_findings(settings)
    yield from spool_findings(Path(settings.spool.directory), settings)
    yield from trust_findings(settings, configuration or DEFAULT_PATH)
    queues = {"incoming": settings.queues.incoming, "delivery": settings.queues.delivery}
    yield from queue_depth_findings(queues, settings.thresholds.queue_age)
    yield from policy_findings(settings)
    yield from list_findings(settings.lists.file)
    yield from source_findings(settings)
    yield from passing_findings(settings)
    yield from unpack_findings(settings)
    yield from spam_findings(settings)
    yield from quarantine_findings(settings)
    yield from notice_findings(settings)
    yield from exporter_findings(settings.exporter, service_user(settings))
    yield from metrics_folder_findings(settings)
    yield from bind_findings(settings)
    yield from tracing_findings(settings.tracing.endpoint)
    yield from engine_findings(settings, probe)


def trust_findings(settings: Settings, configuration: Path) -> Iterator[Finding]:
    """Whether the service runs as a separate user, and who else can change its configuration."""
    user = service_user(settings)
    if [*asker_findings(settings)]:  # this user cannot know the user of the service
        return
    if user == 0:
        text = "miltscan runs as root, the owner of spool.directory: a flaw in it would expose the whole host"
        found = warning("user", text, f"run it as a separate user that owns {settings.spool.directory}")
        yield found.because(NO_SPOOL)  # without the folder its owner is unknown
    else:
        yield ok("user", f"miltscan runs as user {user}")
    level = error if names_secrets(settings) else warning  # with secrets the service does not start
    for line in loose_places(configuration, user):
        text, _, remedy = line.partition("; ")
        yield level("configuration", text, remedy)


def listen_findings(key: str, address: Address, allow: Sequence[Network]) -> Iterator[Finding]:
    """Whether the MTA, and only the MTA, can reach this socket: the milter protocol has no password and no encryption.

    `key` names the setting of the address, `allow` is milter.allow.
    """
    others = beyond_loopback(allow)
    if isinstance(address, UnixAddress):
        yield from socket_folder_findings(key, Path(address.path))
    elif address.is_loopback:
        yield ok(key, f"{address} is on loopback")
    elif not others:
        text = f"{address} can be reached by other hosts, but the list names none"
        yield warning("milter.allow", text, "add the hosts of the MTA to milter.allow")
    elif any(network.prefixlen == 0 for network in others):
        yield warning("milter.allow", f"any host may connect to {address}", "list only the hosts of the MTA")
    else:
        text = f"{address} receives mail in clear text from {', '.join(map(str, others))}"
        yield warning(key, text, "use a tunnel: docs/machines.md")


def socket_folder_findings(key: str, path: Path) -> Iterator[Finding]:
    """Whether the folder of a unix socket exists, is writable by this user, and is safe by sendmail's rules."""
    folder = path.parent
    try:
        mode, existing = folder.stat().st_mode, path.stat().st_mode if path.exists() else None
        unsafe = [above for above, status in folders_above(path) if status.st_mode & stat.S_IWOTH]
    except FileNotFoundError:
        yield _missing_folder(key, folder).because(NO_MILTSCAN)
        return
    except OSError as problem:
        text = f"{_user()} cannot inspect folder {folder}: {problem.strerror}"
        yield error(key, text, "run this command as root, or choose another path").because(*denied(problem))
        return
    if not stat.S_ISDIR(mode):
        yield error(key, f"{folder} is not a folder", "choose another path")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        found = error(key, f"folder {folder} is not writable by {_user()}", f"make {_user()} its owner")
        yield found.because(NOT_ROOT)
    if existing is not None and not stat.S_ISSOCK(existing):
        yield error(key, f"{path} is not a socket", "move it away, or choose another path")
    for above in unsafe:
        text = f"{above} is world-writable: sendmail refuses a socket below it"
        found = error(key, text, "choose a path such as /run/miltscan/miltscan.sock")
        yield found.because(loose_folder(above))
    yield ok(key, f"folder {folder} has mode {stat.S_IMODE(mode):04o}")


def _missing_folder(key: str, folder: Path) -> Finding:
    """A folder in /run is missing after a boot, and the unit of the service creates it at each start."""
    if folder.parent in _AT_START:
        remedy = f"start miltscan; without systemd, run: install -d -o miltscan {folder}"
        return warning(key, f"folder {folder} does not exist yet: miltscan.service creates it at its start", remedy)
    return error(key, f"folder {folder} does not exist", f"run: install -d {folder}")


def asker_findings(settings: Settings) -> Iterator[Finding]:
    """Whether this user may see what `check` looks at: root, or the owner of spool.directory, which is miltscan's user.

    No finding if so. For another user, what is refused to it says nothing about the service.
    """
    with suppress(OSError):
        if os.geteuid() == Path(settings.spool.directory).stat().st_uid:
            return
    if os.geteuid() != 0:
        text = f"runs as {_user()}, who is neither root nor miltscan's user: what requires other rights is unknown"
        yield warning("check", text, "run it as root, or as miltscan's user").named(NOT_ROOT)


def file_finding(path: Path | None) -> Finding:
    """The configuration file that was read; `path` is the one that was named."""
    file = path or DEFAULT_PATH
    return ok("configuration", str(file) if file.exists() else f"{file} does not exist: every key has its default")


def _user() -> str:
    return f"user {os.geteuid()}"


def group_findings(name: str) -> Iterator[Finding]:
    """Whether this user can give the socket to the group `name`; no finding for an empty name."""
    if not name:
        return
    try:
        number = grp.getgrnam(name).gr_gid
    except KeyError:
        yield error("milter.socket_group", f'group "{name}" does not exist', f"run: groupadd --system {name}")
        return
    if os.geteuid() != 0 and number not in {os.getegid(), *os.getgroups()}:
        text = f'{_user()} is not a member of group "{name}" and cannot give it the socket'
        yield error("milter.socket_group", text, "add the user to the group").because(NOT_ROOT)
    else:
        yield ok("milter.socket_group", f'group "{name}" exists')


def receipt_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the delivery side can verify what the incoming side signs."""
    verify = settings.verify.socket
    try:
        keys = load_keys(settings.keys.file, service_user(settings))
    except ConfigError as problem:
        for line in str(problem).splitlines():
            remedy = f"run: miltscan keys new; or write a line `ID HEXKEY` for each key, readable only by {_user()}"
            found = error("keys.file", line, remedy)
            yield found.because(*denied(line))
        return
    if verify is not None:
        yield from listen_findings("verify.socket", verify, settings.milter.allow)
    if keys:
        signed = "probes and receipts" if settings.has_verifier else f"probes, but no receipts: {_NO_VERIFIER}"
        unread = [*unread_key_findings(settings, keys)]
        number = "1 key" if len(keys) == 1 else f"{len(keys)} keys"
        yield from unread or [ok("keys.file", f"{number}; {keys[0].id} signs {signed}")]
    elif verify is not None:
        text = "no key: no receipt is made or verified, and the delivery side scans every message again"
        yield warning("keys.file", text, "set keys.file and run: miltscan keys new")


def spool_findings(folder: Path, settings: Settings) -> Iterator[Finding]:
    """Whether the spool folder accepts unnamed files, and has room for as many messages as are scanned at once."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))
    except OSError as problem:
        text = f"{folder} cannot store a message: {problem.strerror}"
        remedy = f"run: install -d -o miltscan -m 0700 {folder}" if problem.errno == ENOENT else _LOCAL_DISK
        yield error("spool.directory", text, remedy).named(NO_SPOOL).because(*denied(problem))
        return
    room, limits = os.statvfs(folder), settings.limits
    free = room.f_bavail * room.f_frsize
    yield room_finding(
        "spool.directory", free, limits.message_size, messages=limits.concurrent_scans, remedy=faults.SPOOL_ROOM
    )


def queue_depth_findings(queues: Mapping[str, str], limits: Mapping[str, float]) -> Iterator[Finding]:
    """Whether the exporter can measure these queues, and whether mail waits too long in them.

    An empty path means that there is no such queue. `limits` are the ages of old mail, in seconds.
    """
    for name, path in queues.items():
        key = f"queues.{name}"
        try:
            if path:
                depth = read_depth(path)
                yield ok(key, f"{path} is readable; waiting messages: {depth.entries}")
                age = None if depth.oldest is None else time.time() - depth.oldest
                waiting = faults.queue_waiting(name, depth.entries, age, limits[name])
                if waiting.level is not Level.OK:
                    yield waiting.because(old_mail(name))
        except FileNotFoundError:
            remedy = f'set it to the QueueDirectory of the {name} sendmail, or to "" if that runs on another host'
            yield warning(key, f"{path} does not exist: its metrics are missing", remedy).because(no_file(name))
        except OSError as problem:
            remedy = f"allow {_user()} to list it: docs/metrics.md"
            found = warning(key, f"{path} is not readable: {problem.strerror}; its metrics are missing", remedy)
            yield found.because(*denied(problem))


def policy_findings(settings: Settings) -> Iterator[Finding]:
    """The choices of the administrator that lose mail or let it pass unscanned."""
    policy = policy_for(settings, "")
    engines = {f"on_error of engine {one.name}": one.on_error for one in settings.engines if one.required}
    failures = {"policy.on_error": policy.on_error} | {key: action for key, action in engines.items() if action}
    if policy.on_infected.action is ActionName.ACCEPT:
        yield warning("policy.on_infected", "infected mail is accepted", 'use "reject"')
    actions = {f"policy.on_unscanned.{limit.replace('-', '_')}": one for limit, one in policy.on_unscanned.items()}
    for key, choice in (failures | actions).items():
        accepted = choice.action is ActionName.ACCEPT
        if choice == Choice(ActionName.DISCARD):
            yield warning(key, "harmless mail may be lost", 'use "tempfail" or "quarantine"')
        if choice.action is ActionName.TEMPFAIL and key in _PERMANENT:
            yield warning(key, "a later attempt has the same result", 'use "reject", "quarantine" or "accept"')
        if accepted and (key in failures or key == "policy.on_unscanned.no_engine"):
            yield warning(key, "all mail passes unscanned while the engine is down", 'use "tempfail"')
        if accepted and settings.headers.mode is HeaderMode.NONE:
            text = 'unscanned mail is accepted, and with headers.mode = "none" no header marks it'
            yield warning(key, text, 'set headers.mode = "replace", or choose another action')


def tracing_findings(endpoint: str) -> Iterator[Finding]:
    """Whether the packages for traces are installed, if an endpoint is set; the service also runs without them."""
    if endpoint and not installed():
        text = "OpenTelemetry is not installed: no message is traced"
        yield warning("tracing.endpoint", text, f"run: {INSTALL}")
    elif endpoint:
        yield ok("tracing.endpoint", f"miltscan sends traces to {endpoint}")
