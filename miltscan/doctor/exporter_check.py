"""What `miltscan check` says of the exporter: whether its files are good, and who may read it; it opens no socket."""

from collections.abc import Iterator

from miltscan.config.settings import ExporterSettings
from miltscan.core.address import InetAddress, is_loopback
from miltscan.core.finding import Finding, Level
from miltscan.exporter.access import faults

_MANUAL = "see docs/access.md"


def exporter_findings(settings: ExporterSettings) -> Iterator[Finding]:
    """Errors keep the service from starting; warnings are about who learns what."""
    if settings.listen is None:
        yield Finding(Level.OK, "exporter.listen", "is off")
        return
    wrong = [fault.partition(": ") for fault in faults(settings)]
    for key, _, text in wrong:
        yield Finding(Level.ERROR, key, text, _MANUAL)
    if not wrong:
        yield _shown(settings, settings.listen)
    if not is_loopback(settings.listen.host):
        yield from _exposed(settings)


def _shown(settings: ExporterSettings, listen: InetAddress) -> Finding:
    tls = "TLS" if settings.certificate else "clear text"
    return Finding(Level.OK, "exporter.listen", f"{listen}: {tls}, {_asked(settings) or 'asks for nothing'}")


def _asked(settings: ExporterSettings) -> str:
    """What a client has to show, in words; empty if nothing."""
    certificate = ["a client certificate"] * bool(settings.client_ca)
    credentials = ["a password"] * bool(settings.users_file) + ["a token"] * bool(settings.token_file)
    asked = [*certificate, " or ".join(credentials)] if credentials else certificate
    return f"asks for {' and '.join(asked)}" if asked else ""


def _exposed(settings: ExporterSettings) -> Iterator[Finding]:
    """The price of an exporter that other hosts can reach."""
    others = [network for network in settings.allow if not network.is_loopback]
    who = ", ".join(map(str, others))
    if not others:
        text = "exporter.listen is for other hosts, but exporter.allow lists none"
        yield Finding(Level.WARNING, "exporter.allow", text, "list the hosts of Prometheus there")
    elif not settings.certificate and (settings.users_file or settings.token_file):
        text = f"passwords and tokens come in clear text from {who}"
        yield Finding(Level.WARNING, "exporter.certificate", text, f"set exporter.certificate; {_MANUAL}")
    elif not settings.certificate:
        text = f"whoever is in {who} may read everything, in clear text and without credentials"
        yield Finding(Level.WARNING, "exporter.certificate", text, f"set a certificate and credentials; {_MANUAL}")
    elif not _asked(settings) and any(network.prefixlen == 0 for network in others):
        yield Finding(
            Level.WARNING, "exporter.allow", "everybody may read everything", f"ask for credentials; {_MANUAL}"
        )
