"""Who may connect to the exporter, and how: networks, TLS and credentials, from the settings and the files they name.

Each fault of a file is one line with the key, the file and the remedy. The supervisor makes an `Access` at start and at
each reload to find faults early; the exporter makes its own. This module serves no request.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from miltscan.config.ownership import loose_places
from miltscan.config.secretfile import read_file
from miltscan.config.tables import ExporterSettings
from miltscan.core.address import Network, is_in
from miltscan.errors import StartError
from miltscan.exporter.credentials import Credentials, parse_tokens, parse_users
from miltscan.exporter.hosts import own_names

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """What the server requires of each connection and request.

    `hosts` are the names in `Host` that it answers to; None where TLS or credentials keep other sites' pages out.
    """

    allow: tuple[Network, ...]
    tls: "ssl.SSLContext | None"
    credentials: Credentials
    hosts: frozenset[str] | None

    def admits(self, address: str) -> bool:
        """Return whether this peer, an IP address as accept(2) reports it, is in a listed network."""
        return is_in(address, self.allow)


def load_access(settings: ExporterSettings) -> Access:
    """Return the access that the settings describe, from the files as they are now. StartError has a line per fault."""
    if found := faults(settings):
        raise StartError("\n".join(found))
    users, tokens = _users(settings, None), _tokens(settings, None)
    return Access(settings.allow, _tls(settings, None), Credentials(users, tokens), known_hosts(settings))


def known_hosts(settings: ExporterSettings) -> frozenset[str] | None:
    """Return the names by which a request may reach the exporter; None for any name.

    With TLS the client has compared the name with the certificate. Credentials that a browser has for this host are not
    sent under another name.
    """
    if settings.certificate or settings.users_file or settings.token_file:
        return None
    listen = {settings.listen.host.lower()} if settings.listen else set()
    return frozenset({*own_names(), *listen, *settings.hosts})


def load_tokens(settings: ExporterSettings) -> list[bytes]:
    """Return the bearer tokens of `exporter.token_file`, which must be set. Raises StartError."""
    return _tokens(settings, None)


def faults(settings: ExporterSettings, user: int | None = None) -> list[str]:
    """Return the faults of the files, which may belong to `user`, a line each."""
    attempts: tuple[Callable[[ExporterSettings, int | None], object], ...] = (_users, _tokens, _tls)
    found: list[str] = []
    for attempt in attempts:
        try:
            attempt(settings, user)
        except StartError as error:
            found.append(str(error))
    return found


def _users(settings: ExporterSettings, user: int | None) -> dict[str, bytes]:
    return _parsed("exporter.users_file", settings.users_file, parse_users, user) if settings.users_file else {}


def _tokens(settings: ExporterSettings, user: int | None) -> list[bytes]:
    return _parsed("exporter.token_file", settings.token_file, parse_tokens, user) if settings.token_file else []


def _parsed(key: str, file: str, parse: Callable[[str], T], user: int | None) -> T:
    content = _read(key, file, secret=True, user=user)
    try:
        return parse(content.decode())
    except UnicodeDecodeError:
        raise StartError(f"{key}: {file}: expected UTF-8") from None
    except ValueError as error:
        raise StartError(f"{key}: {file}: {error}") from None


def _read(key: str, file: str, *, secret: bool, user: int | None = None) -> bytes:
    try:
        return read_file(file, secret=secret, user=user)
    except ValueError as error:
        raise StartError(f"{key}: {file}: {error}") from None


def _tls(settings: ExporterSettings, user: int | None) -> "ssl.SSLContext | None":
    if not settings.certificate:
        return None
    import ssl  # noqa: PLC0415 - a service without TLS need not load it in each process

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, settings, user)
    if settings.client_ca:
        _load_client_ca(context, settings.client_ca, user)
    return context


def _load_chain(context: "ssl.SSLContext", settings: ExporterSettings, user: int | None) -> None:
    """Load the certificate and its key, which may be in one file."""
    key = settings.key or settings.certificate
    named = "exporter.key" if settings.key else "exporter.certificate"
    _read("exporter.certificate", settings.certificate, secret=not settings.key, user=user)
    _read(named, key, secret=True, user=user)
    try:
        context.load_cert_chain(settings.certificate, key, password=_no_password)
    except OSError as error:  # of OpenSSL; the files themselves can be read
        raise StartError(f"exporter.certificate: {_why(error, settings.certificate, key)}") from None


def _no_password() -> str:
    """Keep OpenSSL from asking for a passphrase on the terminal."""
    return ""


def _why(error: OSError, certificate: str, key: str) -> str:
    """Return OpenSSL's reason in words for an administrator."""
    match getattr(error, "reason", None):
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH":
            return f"{certificate} and {key} do not belong together"
        case _ if "-----BEGIN ENCRYPTED PRIVATE KEY-----" in (text := Path(key).read_text(errors="replace")) or (
            "Proc-Type: 4,ENCRYPTED" in text
        ):
            return f"{key} has a passphrase. Remove it: openssl pkey -in {key} -out {key}.new"
        case reason:
            return f"{certificate} and {key}: expected a certificate and its key in PEM form ({reason or error})"


def _load_client_ca(context: "ssl.SSLContext", file: str, user: int | None) -> None:
    """Load the CA. It is not secret, but who changes it decides which clients may connect."""
    import ssl  # noqa: PLC0415 - as above

    _read("exporter.client_ca", file, secret=False)
    if loose := next(loose_places(Path(file), os.geteuid() if user is None else user), ""):
        raise StartError(f"exporter.client_ca: {loose}")
    try:
        context.load_verify_locations(file)
    except OSError as error:
        raise StartError(
            f"exporter.client_ca: {file}: expected certificates in PEM form ({getattr(error, 'reason', None) or error})"
        ) from None
    context.verify_mode = ssl.CERT_REQUIRED
