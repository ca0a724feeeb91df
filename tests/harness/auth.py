"""What AUTH over STARTTLS needs: a certificate, and accounts in a SASL database (sasldb), both made in a new folder.

The accounts' domain is the SASL realm. sendmail finds Sendmail.conf in the folder because preload.c points SASL there.
"""

import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness import programs

USER, PASSWORD = "joe@example.test", "correct horse"
MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5")


@dataclass(frozen=True, slots=True)
class Auth:
    """The files of one incoming sendmail with AUTH."""

    folder: Path

    @classmethod
    def prepare(cls, folder: Path) -> "Auth":
        """Makes them. Raises CalledProcessError, MissingProgramError."""
        auth = cls(folder)
        auth._make_certificate()
        auth._add_account()
        settings = f"pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {auth._accounts}\n"
        (folder / "Sendmail.conf").write_text(settings)
        return auth

    @property
    def site(self) -> Mapping[str, str]:
        """The settings for sendmail/."""
        return {
            "SITE_CERTIFICATE": str(self.certificate),
            "SITE_KEY": str(self._key),
            "SITE_AUTH": "on",
            "SITE_AUTH_MECHANISMS": " ".join(MECHANISMS),
        }

    @property
    def certificate(self) -> Path:
        """A self-signed certificate for 127.0.0.1."""
        return self.folder / "server.crt"

    @property
    def client_context(self) -> ssl.SSLContext:
        """For a client that trusts this certificate and no other."""
        return ssl.create_default_context(cafile=self.certificate)

    @property
    def _key(self) -> Path:
        return self.folder / "server.key"

    @property
    def _accounts(self) -> Path:
        return self.folder / "sasldb2"

    def _make_certificate(self) -> None:
        kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-days", "2"]
        name = ["-subj", "/CN=example.test", "-addext", "subjectAltName=IP:127.0.0.1"]
        name += [
            "-addext",
            "keyUsage=critical,keyCertSign,digitalSignature",
        ]  # else Python 3.13 and later do not take it
        files = ["-keyout", str(self._key), "-out", str(self.certificate)]
        subprocess.run([str(programs.find("openssl")), "req", *kind, *name, *files], check=True, capture_output=True)
        self._key.chmod(0o600)

    def _add_account(self) -> None:
        user, _, realm = USER.partition("@")
        command = [str(programs.find("saslpasswd2")), "-c", "-p", "-f", str(self._accounts), "-u", realm, user]
        subprocess.run(command, check=True, capture_output=True, input=PASSWORD.encode())
