"""Folders and sockets as the user of sendmail sees them: owner, mode, and what sendmail refuses as unsafe."""

import glob
import grp
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from os import stat_result
from pathlib import Path

from miltscan.core.finding import Finding, error, ok, warning

_BLAME = "groupwritabledirpathsafe"
_READ, _WRITE, _SEARCH = 4, 2, 1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a sendmail is once it serves a session."""

    name: str
    uid: int
    gids: frozenset[int]

    def may(self, status: stat_result, wanted: int) -> bool:
        """Whether it has all the `wanted` bits (4 read, 2 write, 1 search), by path_resolution(7); root has."""
        if self.uid == 0:
            return True
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.gids else 0
        return (status.st_mode >> shift) & wanted == wanted


def identity(run_as: str) -> Identity | None:
    """The user of RunAsUser (`user` or `user:group`, names or numbers), root without one; None if it is unknown."""
    name, _, group = run_as.replace(".", ":").partition(":")
    if not name:
        return Identity("root", 0, frozenset({0}))
    try:
        user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        gid = _group(group) if group else user.pw_gid
    except KeyError:
        return None
    member = {one.gr_gid for one in grp.getgrall() if user.pw_name in one.gr_mem}
    return Identity(user.pw_name, user.pw_uid, frozenset({gid, *member}))


def _group(name: str) -> int:
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def socket_findings(path: Path, who: Identity, blame: str) -> Iterator[Finding]:
    """The milter's unix socket; `blame` is DontBlameSendmail.

    sendmail calls it unsafe, and the filter dead, below a folder (whichever above it) that group or others may write,
    and when it is a symbolic link (measured with 8.17). GroupWritableDirPathSafe in DontBlameSendmail excuses groups.
    """
    subject = f"socket {path}"
    try:
        status = path.lstat()
        folders = [(each, each.stat()) for each in path.resolve().parents]
    except OSError as problem:
        yield error(subject, f"cannot be looked at: {problem.strerror}", "start miltscan")
        return
    if stat.S_ISLNK(status.st_mode):
        yield error(subject, "is a symbolic link, which sendmail refuses", "name the socket itself in S=")
    unsafe = stat.S_IWOTH if _BLAME in blame.lower() else stat.S_IWOTH | stat.S_IWGRP
    wrong = [*_folders(subject, folders, unsafe, who)]
    if not who.may(status, _WRITE):
        text = f"mode {_shown(status)}: {who.name}, as which sendmail runs, may not connect"
        wrong.append(error(subject, text, f"milter.socket_group, with {who.name} in it, and milter.socket_mode 0660"))
    yield from wrong or [ok(subject, f"mode {_shown(status)}, {who.name} may connect")]


def _folders(subject: str, folders: list[tuple[Path, stat_result]], unsafe: int, who: Identity) -> Iterator[Finding]:
    for folder, status in folders:
        if status.st_mode & unsafe:
            text = f"folder {folder} has mode {_shown(status)}: sendmail takes the socket for unsafe"
            yield error(subject, text, f"chmod go-w {folder}")
        if not who.may(status, _SEARCH):
            text = f"folder {folder} has mode {_shown(status)}: {who.name} cannot enter it"
            yield error(subject, text, f"chmod a+x {folder}")


def queue_folders(pattern: str) -> list[Path]:
    """The folders of a QueueDirectory, which may end in an asterisk."""
    return sorted(Path(one) for one in glob.glob(pattern)) if pattern.endswith("*") else [Path(pattern)]  # noqa: PTH207 - an absolute pattern


def queue_folder_findings(name: str, pattern: str, who: Identity) -> Iterator[Finding]:
    """The queue of one sendmail: there, its own, and closed to others."""
    folders = queue_folders(pattern)
    if not folders:
        yield error(f"{name} queue", f"{pattern}: there is no such folder", f"install -d -m 0700 {pattern[:-1]}1")
    for folder in folders:
        yield from _queue(f"{name} queue", folder, who)


def _queue(subject: str, folder: Path, who: Identity) -> Iterator[Finding]:
    try:
        status = folder.stat()
    except OSError as problem:
        remedy = f"install -d -o {who.name} -m 0700 {folder}, or owner and mode of the other queue"
        yield error(subject, f"{folder}: {problem.strerror}", remedy)
        return
    wrong = []
    if not stat.S_ISDIR(status.st_mode):
        wrong.append(error(subject, f"{folder} is no folder", "move it away"))
    if not who.may(status, _READ | _WRITE | _SEARCH):
        text = f"{folder} is of {owner(status)} with mode {_shown(status)}: {who.name} cannot queue"
        wrong.append(error(subject, text, f"chown {who.name} {folder}"))
    if status.st_mode & stat.S_IRWXO:
        text = f"{folder} has mode {_shown(status)}: any user of the host reaches queued mail"
        wrong.append(error(subject, text, f"chmod o= {folder}"))
    yield from wrong or [ok(subject, f"{folder} is of {owner(status)} with mode {_shown(status)}")]


def alike(one: Path, other: Path) -> Iterator[Finding]:
    """Both queues have the same owner, group and mode; folders that are not there have findings of their own."""
    try:
        first, second = one.stat(), other.stat()
    except OSError:
        return
    if (owner(first), stat.S_IMODE(first.st_mode)) != (owner(second), stat.S_IMODE(second.st_mode)):
        text = f"{one} is of {owner(first)} {_shown(first)}, {other} of {owner(second)} {_shown(second)}"
        remedy = f"chown --reference={one} {other} && chmod --reference={one} {other}"
        yield warning("queues", text, remedy)


def owner(status: stat_result) -> str:
    """Owner and group by name, by number where there is none."""
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    try:
        return f"{user}:{grp.getgrgid(status.st_gid).gr_name}"
    except KeyError:
        return f"{user}:{status.st_gid}"


def _shown(status: stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):04o}"
