"""Folders, sockets and the key file as the user of each program sees them: owner, mode, and what sendmail refuses."""

import glob
import grp
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import stat_result
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.topics import NO_MILTSCAN, denied, loose_folder

_GROUPS_ARE_SAFE = "groupwritabledirpathsafe"
_READ, _WRITE, _SEARCH = 4, 2, 1


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that a program runs as, for a sendmail the one that serves a session."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, status: stat_result, bits: int) -> bool:
        """Whether it has all of the `bits` (4 read, 2 write, 1 search), by path_resolution(7); root always has."""
        if self.uid == 0:
            return True
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.gids else 0
        return (status.st_mode >> shift) & bits == bits


def identity(run_as: str) -> Identity | None:
    """The user of RunAsUser (`user` or `user:group`, names or numbers), root if empty; None if it does not exist."""
    name, _, group = run_as.replace(".", ":").partition(":")
    if not name:
        return Identity("root", 0, frozenset({0}))
    try:
        user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        gid = user.pw_gid if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        return None
    member = {one.gr_gid for one in grp.getgrall() if user.pw_name in one.gr_mem}
    return Identity(user.pw_name, user.pw_uid, frozenset({gid, *member}))


def folders_above(path: Path) -> list[tuple[Path, stat_result]]:
    """Each folder above the path, links resolved, the nearest first. Raises OSError."""
    return [(folder, folder.stat()) for folder in path.resolve().parents]


def socket_findings(path: Path, user: Identity, blame: str) -> Iterator[Finding]:
    """The milter's unix socket as sendmail's `user` sees it; `blame` is DontBlameSendmail.

    sendmail 8.17 treats the filter as dead if the socket is a symbolic link, or if group or others may write to any
    folder above it; GroupWritableDirPathSafe allows groups.
    """
    subject = f"socket {path}"
    try:
        status, folders = path.lstat(), folders_above(path)
    except OSError as problem:
        found = error(subject, f"cannot be inspected: {problem.strerror}", "start miltscan")
        yield found.because(*denied(problem), NO_MILTSCAN)
        return
    wrong = []
    if stat.S_ISLNK(status.st_mode):
        wrong.append(error(subject, "is a symbolic link, which sendmail refuses", "name the socket itself in S="))
    unsafe = stat.S_IWOTH if _GROUPS_ARE_SAFE in blame.lower() else stat.S_IWOTH | stat.S_IWGRP
    for folder, above in folders:
        if above.st_mode & unsafe:
            text = f"folder {folder} has mode {_mode(above)}: sendmail treats the socket as unsafe"
            wrong.append(error(subject, text, f"run: chmod go-w {folder}").named(loose_folder(folder)))
        if not user.may(above, _SEARCH):
            text = f"folder {folder} has mode {_mode(above)}: {user.name} cannot enter it"
            wrong.append(error(subject, text, f"run: chmod a+x {folder}"))
    if not user.may(status, _WRITE):
        text = f"mode {_mode(status)}: {user.name}, the user of sendmail, may not connect"
        remedy = f"set milter.socket_group to a group of {user.name}, and milter.socket_mode to 0660"
        wrong.append(error(subject, text, remedy))
    yield from wrong or [ok(subject, f"mode {_mode(status)}, {user.name} may connect")]


def queue_folders(pattern: str) -> list[Path]:
    """The folders of a QueueDirectory, which may end in an asterisk."""
    return sorted(Path(one) for one in glob.glob(pattern)) if pattern.endswith("*") else [Path(pattern)]  # noqa: PTH207 - an absolute pattern


def queue_folder_findings(name: str, pattern: str, user: Identity) -> Iterator[Finding]:
    """The queue of one sendmail: it exists, its user can write to it, and other users cannot enter it."""
    folders = queue_folders(pattern)
    if not folders:
        yield error(f"{name} queue", f"{pattern}: no such folder", f"run: install -d -m 0700 {pattern[:-1]}1")
    for folder in folders:
        yield from _queue_findings(f"{name} queue", folder, user)


def _queue_findings(subject: str, folder: Path, user: Identity) -> Iterator[Finding]:
    try:
        status = folder.stat()
    except OSError as problem:
        remedy = f"run: install -d -o {user.name} -m 0700 {folder}, or with owner and mode of the other queue"
        yield error(subject, f"{folder}: {problem.strerror}", remedy).because(*denied(problem))
        return
    described = f"{folder} belongs to {owner(status)} and has mode {_mode(status)}"
    wrong = []
    if not stat.S_ISDIR(status.st_mode):
        wrong.append(error(subject, f"{folder} is not a folder", "move it away"))
    if not user.may(status, _READ | _WRITE | _SEARCH):
        wrong.append(error(subject, f"{described}: {user.name} cannot queue", f"run: chown {user.name} {folder}"))
    if status.st_mode & stat.S_IRWXO:
        text = f"{folder} has mode {_mode(status)}: any user of the host can reach queued mail"
        wrong.append(error(subject, text, f"run: chmod o= {folder}"))
    yield from wrong or [ok(subject, described)]


def same_rights_findings(one: Path, other: Path) -> Iterator[Finding]:
    """Both queues must have the same owner, group and mode; a missing folder has its own finding."""
    with suppress(OSError):
        first, second = one.stat(), other.stat()
        if (owner(first), stat.S_IMODE(first.st_mode)) != (owner(second), stat.S_IMODE(second.st_mode)):
            text = f"{one} is {owner(first)} {_mode(first)}, {other} is {owner(second)} {_mode(second)}"
            remedy = f"run: chown --reference={one} {other} && chmod --reference={one} {other}"
            yield warning("queues", text, remedy)


def key_findings(settings: Settings) -> Iterator[Finding]:
    """Whether miltscan can read its key file; `check` finds whether others can.

    The user that miltscan runs as is the owner of its spool folder.
    """
    if not settings.keys.file:
        return
    with suppress(OSError):  # `check` has the finding
        file, spool = Path(settings.keys.file).stat(), Path(settings.spool.directory).stat()
        if user := identity(str(spool.st_uid)):
            yield key_finding(settings.keys.file, file, user)


def key_finding(path: str, status: stat_result, user: Identity) -> Finding:
    """Whether this user may read the file."""
    if user.may(status, _READ):
        return ok(f"keys {path}", f"{user.name} may read it")
    text = f"belongs to {owner(status)}: {user.name}, the user of miltscan, cannot read it"
    return error(f"keys {path}", text, f"run: chown {user.name} {path}")


def owner(status: stat_result) -> str:
    """Owner and group, by number if they have no name."""
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    try:
        return f"{user}:{grp.getgrgid(status.st_gid).gr_name}"
    except KeyError:
        return f"{user}:{status.st_gid}"


def _mode(status: stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"
