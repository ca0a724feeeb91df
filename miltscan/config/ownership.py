"""Who may change a file that the service trusts: owner and mode of the file, and of each folder above it."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.errors import ConfigError


def service_user(settings: Settings) -> int:
    """The user that the service runs as, for a command: the present one; for root, the owner of spool.directory."""
    if os.geteuid() == 0:
        with suppress(OSError):
            return Path(settings.spool.directory).stat().st_uid
    return os.geteuid()


def names_secrets(settings: Settings) -> bool:
    """Whether the configuration names a file with keys, passwords or tokens."""
    exporter = settings.exporter
    return any((settings.keys.file, exporter.users_file, exporter.token_file, exporter.certificate))


def refuse_untrusted(settings: Settings, configuration: Path, user: int) -> None:
    """Raise ConfigError if these settings name a file of secrets and users other than root and `user` may change them.

    Such a user could let the service use other keys and passwords.
    """
    if names_secrets(settings) and (lines := [*loose_places(configuration, user)]):
        raise ConfigError("\n".join(f"{configuration} names a file of secrets, but {line}" for line in lines))


def loose_places(path: Path, user: int) -> Iterator[str]:
    """A line with its remedy for the file and each folder above it that users other than root and `user` may change."""
    whole, target = path.absolute(), path.resolve()
    for place in dict.fromkeys((target, *whole.parents, *target.parents)):
        with suppress(OSError):  # gone meanwhile, or not for this user to see: then it cannot be used either
            if line := _loose(place, place.stat(), user):
                yield line


def _loose(place: Path, status: os.stat_result, user: int) -> str:
    """What lets others change this place; empty if nothing does.

    A group counts unless it is root's or that of this process, which is private on many hosts. A sticky folder, such as
    /tmp, protects the files of one user from the others.
    """
    if status.st_uid not in {0, user}:
        return f"{place} belongs to user {status.st_uid}, who may change it; run: chown root {place}"
    by_group = status.st_mode & stat.S_IWGRP and status.st_gid not in {0, os.getegid()}
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if (status.st_mode & stat.S_IWOTH or by_group) and not sticky:
        return f"{place} has mode {stat.S_IMODE(status.st_mode):04o}: others may change it; run: chmod go-w {place}"
    return ""
