"""The quarantine's folder, and the delivery sendmail through which messages leave it. It changes nothing.

Nothing is checked while no setting lets a message into the quarantine.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from miltscan.config.ownership import service_user
from miltscan.config.settings import Settings
from miltscan.core.action import REFUSED_AREA
from miltscan.core.faults import QUARANTINE_ROOM
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.core.mounts import mounted_path
from miltscan.doctor.host import room_finding
from miltscan.doctor.rights import folders_above, identity, owner
from miltscan.doctor.topics import NO_SPOOL, NOT_ROOT, denied, no_file, no_sendmail, overloaded, refuses
from miltscan.sandwich.transfer import ServerReply, Transfer, transfer

_SUBJECT = "quarantine.directory"
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = {"tmpfs", "ramfs"}
_READ, _WRITE, _SEARCH = 4, 2, 1
_MESSAGES = 10  # of the largest size, which should fit
_TIMEOUT = 15.0  # seconds for each reply; delivery.timeout may be longer than a person wants to wait


def quarantine_findings(settings: Settings) -> Iterator[Finding]:
    """The folder and the way out of it, if the settings let a message into the quarantine."""
    if settings.quarantines:
        yield from folder_findings(Path(settings.quarantine.directory), settings)
        server = settings.delivery.server
        nobody = Transfer(b"", (), (), 0)
        sent = transfer((server.host, server.port), nobody, min(settings.delivery.timeout, _TIMEOUT))
        yield delivery_finding(str(server), sent.reply)
        if settings.has_verifier and not settings.keys.file:
            text = "without a key a release has no receipt: the delivery side scans it, and may refuse it"
            yield warning("keys.file", text, "set keys.file and run: miltscan keys new")


def delivery_finding(server: str, reply: ServerReply) -> Finding:
    """Whether the delivery sendmail accepts mail of this host: its reply to MAIL, or why there was none."""
    if reply.accepted:
        return ok("delivery.server", f"{server} accepts mail from this host")
    text = f"{server} accepts no release from quarantine: {' '.join(str(reply).split())}"
    if reply.code == 0:
        remedy = "start the delivery sendmail, or set delivery.server to its address (docs/machines.md)"
        found = error("delivery.server", text, remedy)
    elif reply.code // 100 == 5:  # noqa: PLR2004 - RFC 5321 section 4.2.1
        remedy = "name this host in SITE_SCANNERS and build delivery.cf again (docs/machines.md)"
        found = error("delivery.server", text, remedy)
    else:
        found = warning("delivery.server", text, "read the log of the delivery sendmail")
    return found.because(no_file("delivery"), no_sendmail("delivery"), refuses("delivery"), overloaded("delivery"))


def folder_findings(folder: Path, settings: Settings) -> Iterator[Finding]:
    """Whether miltscan's user, and nobody else, can use the folder, and whether its disk keeps what is in it."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        yield _missing(folder, settings)
        return
    except OSError as problem:
        found = error(_SUBJECT, f"{folder} cannot be inspected: {problem.strerror}", "choose another folder")
        yield found.because(*denied(problem))
        return
    if not stat.S_ISDIR(status.st_mode):
        yield error(_SUBJECT, f"{folder} is not a folder", "move it away, or choose another one")
        return
    faults = [*_rights(folder, status, service_user(settings)), *_place(folder), *_disk(folder, status, settings)]
    yield from faults or [ok(_SUBJECT, f"{folder} belongs to {owner(status)} and has mode {_mode(status)}")]
    with suppress(OSError):
        room, largest = os.statvfs(folder), settings.limits.message_size
        yield room_finding(_SUBJECT, room.f_bavail * room.f_frsize, largest, messages=_MESSAGES, remedy=QUARANTINE_ROOM)


def _missing(folder: Path, settings: Settings) -> Finding:
    """Miltscan makes the folder with the first message, where it may."""
    above = next((one for one in folder.parents if one.exists()), Path("/"))
    user = identity(str(service_user(settings)))
    if user is not None and user.may(above.stat(), _WRITE | _SEARCH):
        return ok(_SUBJECT, f"{folder} does not exist yet: the first message makes it")
    text = f"{folder} does not exist, and miltscan may not make it in {above}: what is to be kept is tempfailed"
    remedy = f"run: install -d -o {user.name if user else 'miltscan'} -m 0700 {folder}"
    return error(_SUBJECT, text, remedy).because(NO_SPOOL, NOT_ROOT)


def _rights(folder: Path, status: os.stat_result, uid: int) -> Iterator[Finding]:
    """Owner and mode: every command works as the owner, and mail is for nobody else to read."""
    user = identity(str(uid))
    name = user.name if user else str(uid)
    if status.st_uid != uid:
        text = f"{folder} belongs to {owner(status)}, miltscan runs as {name}: what is to be kept is tempfailed"
        # miltscan's user is the owner of the spool folder, and another user's own rights say nothing
        yield error(_SUBJECT, text, f"run: chown -R {name} {folder}").because(NO_SPOOL, NOT_ROOT)
    elif user is not None and not user.may(status, _READ | _WRITE | _SEARCH):
        text = f"{folder} has mode {_mode(status)}: {name} cannot store a message"
        yield error(_SUBJECT, text, f"run: chmod 0700 {folder}")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"{folder} has mode {_mode(status)}: other users of the host can reach quarantined mail"
        yield warning(_SUBJECT, text, f"run: chmod 0700 {folder}")


def _place(folder: Path) -> Iterator[Finding]:
    """Whether users other than root and miltscan's can remove the folder, or put another one in its place."""
    for above, status in folders_above(folder):
        if status.st_mode & stat.S_IWOTH:
            text = f"{folder} is below {above}, to which every user of the host can write"
            yield warning(_SUBJECT, text, "choose a folder such as /var/lib/miltscan/quarantine")


def _disk(folder: Path, status: os.stat_result, settings: Settings) -> Iterator[Finding]:
    """The file system: writable, kept over a reboot, and not one that a full quarantine takes from the queues."""
    place = mounted_path(_MOUNTS.read_text(errors="replace"), str(folder.resolve()))
    if place is not None and place.kind in _IN_MEMORY:
        text = f"{folder} is on a {place.kind}: a restart of the host deletes all messages"
        yield error(_SUBJECT, text, "choose a folder on a disk")
    if place is not None and place.read_only:
        text = f"{folder} is on a read-only file system: what is to be kept is tempfailed"
        yield error(_SUBJECT, text, "mount it writable, or choose another folder")
    queues = {"incoming": settings.queues.incoming, "delivery": settings.queues.delivery}
    shared = [*_sharing(status.st_dev, queues)]
    unused = () if settings.splits else (REFUSED_AREA,)
    unbounded = [name for name, area in settings.quarantine.areas.items() if not area.max_size and name not in unused]
    if shared and unbounded:
        text = f"{folder} is on the file system of {' and '.join(shared)}: a full quarantine stops all mail"
        remedy = f"set max_size in [quarantine.area.{unbounded[0]}], or use a file system of its own"
        yield warning(_SUBJECT, text, remedy)


def _sharing(device: int, queues: Mapping[str, str]) -> Iterator[str]:
    for name, queue in queues.items():
        with suppress(OSError):
            if queue and Path(queue).stat().st_dev == device:
                yield f"{name}'s queue"


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"
