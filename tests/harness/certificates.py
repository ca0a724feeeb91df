"""Certificates for tests: a new CA in a folder, and what it signs for 127.0.0.1."""

import subprocess
from pathlib import Path

from tests.harness import programs

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
# openssl makes all of them a CA, and from 3.13 on Python takes no CA that does not say what its key is for
_NEW_KEY += ["-addext", "keyUsage=critical,keyCertSign,digitalSignature"]
_NAME = ["-addext", "subjectAltName=IP:127.0.0.1"]


class Authority:
    """A CA. What it makes is NAME.crt and NAME.key in `folder`, valid for two days."""

    def __init__(self, folder: Path) -> None:
        """Makes the CA's own certificate. Raises CalledProcessError, MissingProgramError."""
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self._make("ca", ["-x509", "-noenc"])

    @property
    def certificate(self) -> Path:
        """What a client has to trust."""
        return self.folder / "ca.crt"

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key, for a server on 127.0.0.1 or a client."""
        signed_by = ["-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key")]
        return self._make(name, ["-x509", "-noenc", *signed_by, *_NAME])

    def locked(self, name: str) -> tuple[Path, Path]:
        """The same with a passphrase on the key."""
        return self._make(name, ["-x509", "-passout", "pass:secret", *_NAME])

    def _make(self, name: str, options: list[str]) -> tuple[Path, Path]:
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files = ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate)]
        command = [str(programs.find("openssl")), "req", *_NEW_KEY, *options, *files]
        subprocess.run(command, check=True, capture_output=True)
        key.chmod(0o600)
        return certificate, key
