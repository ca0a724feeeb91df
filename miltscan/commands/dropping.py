"""Who runs a command on the quarantine: root becomes the owner of the folder; another user than that owner is refused.

The service must be able to read, change and delete each file of its quarantine, whoever ran a command. So a command
reads the configuration and opens the administrator's files as root, and then gives up every right of root before it
touches the quarantine.
"""

import codecs
import os
import pwd
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import typer

from miltscan.commands.common import exit_on_error
from miltscan.config.settings import Settings
from miltscan.core.text import readable
from miltscan.errors import StartError

_LONGEST_NAME = 64  # characters of a login name in events and logs
_PRIVATE = 0o077


def acting_user() -> str:
    """The login name of who runs the command, for events and the log; through sudo that of its caller."""
    user = os.getuid()
    return readable((user == 0 and os.environ.get("SUDO_USER")) or _name(user), _LONGEST_NAME)


def become_owner(settings: Settings, folder: Path | None = None) -> None:
    """Run as the owner of `folder` from here on, by default that of the quarantine; else of spool.directory.

    Raises StartError with the remedy if this user may not use the folder, or if it belongs to root and the service does
    not run as root.
    """
    os.umask(_PRIVATE)
    owner = _new_owner(settings, folder)
    if owner is None:
        return
    codecs.lookup("idna")  # loaded at the first connection: too late where the new user cannot read the interpreter
    user, group = owner.st_uid, owner.st_gid
    try:
        account = pwd.getpwuid(user)
    except KeyError:  # a user without an account, as in a container
        groups = [group]
    else:
        groups = os.getgrouplist(account.pw_name, group)  # of which clamd's socket may require one
        os.environ["HOME"] = account.pw_dir  # where the client of PostgreSQL looks for its files
    os.setgroups(groups)
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def run_as_owner(settings: Settings, work: Callable[[], None]) -> None:
    """Run `work` as that user, in a child process where this process keeps its rights, to write a file of its user.

    Ends with typer.Exit and the status of the work, if that fails.
    """
    if _new_owner(settings) is None:
        work()
        return
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os._exit(_status_of(settings, work))
    _, status = os.waitpid(child, 0)
    if status:
        raise typer.Exit(max(1, os.waitstatus_to_exitcode(status)))


def _status_of(settings: Settings, work: Callable[[], None]) -> int:
    """The exit status of the child, whose errors are lines as elsewhere."""
    try:
        with exit_on_error():
            become_owner(settings)
            work()
    except typer.Exit as end:
        return end.exit_code
    except BaseException:  # noqa: BLE001 - a bug: the child must not go on as if it were the parent
        traceback.print_exc()
        return 1
    return 0


def _new_owner(settings: Settings, folder: Path | None = None) -> os.stat_result | None:
    """The owner whose rights root takes; None if this user stays what it is. Raises StartError."""
    folder = folder or Path(settings.quarantine.directory)
    try:
        owner = _status(folder)
    except OSError:
        raise StartError(_refusal(folder, "")) from None
    if user := os.geteuid():
        if owner and owner.st_uid != user:
            raise StartError(_refusal(folder, f" {_name(owner.st_uid)}"))
        return None
    service = _status(Path(settings.spool.directory))
    if owner and service and owner.st_uid == 0 != service.st_uid:
        name = _name(service.st_uid)
        raise StartError(f"{folder}: belongs to root, but miltscan runs as {name}; run: chown -R {name} {folder}")
    become = owner or service
    return become if become and become.st_uid else None


def _status(folder: Path) -> os.stat_result | None:
    try:
        return folder.stat()
    except FileNotFoundError:
        return None


def _refusal(folder: Path, owner: str) -> str:
    """The one line for a user who is neither root nor the owner."""
    return f"{folder}: only root and its owner{owner} may use it; run the command as root, for example with sudo"


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)
