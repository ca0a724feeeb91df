"""The exporter for `miltscan check`: whether its files are valid, and who may read it. It opens no socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.config.tables import ExporterSettings
from miltscan.core.address import beyond_loopback
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.topics import denied
from miltscan.exporter.access import faults, known_hosts
from miltscan.telemetry.folder import reserved_space, slots_of

_MANUAL = "docs/access.md"


def metrics_folder_findings(settings: Settings) -> Iterator[Finding]:
    """Whether the metrics folder, or the one in which it will be made, has the room that the service reserves."""
    key, folder = "exporter.directory", Path(settings.exporter.directory)
    try:
        existing = next(one for one in (folder, *folder.parents) if one.exists())
        room = os.statvfs(existing)
        reserved = sum(file.stat().st_blocks * 512 for file in folder.glob("*.db"))
    except OSError as problem:
        yield warning(key, f"{folder} cannot be inspected: {problem.strerror}", "run this command as root")
        return
    missing = reserved_space(slots_of(settings)) - reserved - room.f_bavail * room.f_frsize
    no_inode = room.f_files and not room.f_favail
    if missing > 0 or no_inode:
        lack = "no inode is free" if no_inode else f"it lacks {missing // 1024 + 1} KiB"
        text = f"{folder} is full ({lack}): metrics stay in memory and may be incomplete"
        yield warning(key, text, f"free some space in {existing}, or choose another folder")
    else:
        yield ok(key, f"{folder} has room for the metrics")


def exporter_findings(settings: ExporterSettings, user: int | None = None) -> Iterator[Finding]:
    """An error stops the service at its start; a warning is about who can read what. `user` is that of the service."""
    listen = settings.listen
    if listen is None:
        yield ok("exporter.listen", "is off")
        return
    if known_hosts(settings) is not None:
        names = ", ".join((f"a name of this host such as {socket.gethostname()}", *settings.hosts))
        yield ok("exporter.hosts", f"clients may use an address, {names}; the exporter refuses other names")
    required = _required(settings)
    wrong = [fault.partition(": ") for fault in faults(settings, user)]
    for key, _, text in wrong:
        yield error(key, text, f"see {_MANUAL}").because(*denied(text))
    if not wrong:
        tls = "TLS" if settings.certificate else "no TLS"
        yield ok("exporter.listen", f"{listen}: {tls}, {f'requires {required}' if required else 'no authentication'}")
    if listen.is_loopback:
        return
    others = beyond_loopback(settings.allow)
    clients = ", ".join(map(str, others))
    if not others:
        text = f"{listen} can be reached by other hosts, but the list names none"
        yield warning("exporter.allow", text, "add the hosts of Prometheus to exporter.allow")
    elif not settings.certificate and (settings.users_file or settings.token_file):
        text = f"{clients} sends passwords and tokens in clear text"
        yield warning("exporter.certificate", text, f"set exporter.certificate: {_MANUAL}")
    elif not settings.certificate:
        text = f"any client in {clients} can read everything, in clear text and without credentials"
        yield warning("exporter.certificate", text, f"set a certificate and credentials: {_MANUAL}")
    elif not required and any(network.prefixlen == 0 for network in others):
        yield warning("exporter.allow", "any client can read everything", f"require credentials: {_MANUAL}")


def _required(settings: ExporterSettings) -> str:
    """What a client has to present, in words; empty for nothing."""
    certificate = ["a client certificate"] * bool(settings.client_ca)
    credentials = ["a password"] * bool(settings.users_file) + ["a token"] * bool(settings.token_file)
    return " and ".join([*certificate, " or ".join(credentials)] if credentials else certificate)
