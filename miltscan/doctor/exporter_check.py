"""The exporter for `miltscan check`: whether its files are valid, and who may read it. It opens no socket."""

import socket
from collections.abc import Iterator

from miltscan.config.settings import ExporterSettings
from miltscan.core.address import beyond_loopback
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.topics import denied
from miltscan.exporter.access import faults, known_hosts

_MANUAL = "docs/access.md"


def exporter_findings(settings: ExporterSettings, user: int | None = None) -> Iterator[Finding]:
    """An error stops the service at its start; a warning is about who can read what. `user` is that of the service."""
    listen = settings.listen
    if listen is None:
        yield ok("exporter.listen", "is off")
        return
    if known_hosts(settings) is not None:
        names = ", ".join((f"a name of this host such as {socket.gethostname()}", *settings.hosts))
        yield ok("exporter.hosts", f"clients use an address, {names}; other names are refused")
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
