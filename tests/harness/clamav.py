"""A real clamd in a private folder, with the settings of deploy/clamav/clamd.conf.

It loads the host's signatures where there are any, else a test database, made at run time, that knows the EICAR test
file only.
"""

import io
import random
import signal
import socket
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tests.fakes.eicar import EICAR
from tests.harness import ports, programs
from tests.harness.processes import Program, Programs

_SETTINGS = programs.CHECKOUT / "deploy" / "clamav" / "clamd.conf"
_HOST_DATABASE = Path("/var/lib/clamav")


@dataclass
class Clamd:
    """One clamd; `start` it, and `wait_ready` before use. Its signals and restarts keep socket, port and folder."""

    programs: Programs
    folder: Path
    port: int
    database: Path
    name: str = "clamd"
    program: Program | None = None

    @classmethod
    def prepare(
        cls, owner: Programs, name: str = "clamd", *, test_database: bool = False, generated: int = 0
    ) -> "Clamd":
        """Makes folder, configuration and test database below the folder of `owner`.

        With `test_database` the host's signatures are not used, whether there are any or not, but `generated` ones.
        """
        folder = owner.folder / name
        for part in ("tmp", "database"):
            (folder / part).mkdir(parents=True)
        hosts = not test_database and has_signatures(_HOST_DATABASE)
        database = _HOST_DATABASE if hosts else write_test_database(folder / "database", generated)
        clamd = cls(owner, folder, ports.choose().number, database, name)
        (folder / "clamd.conf").write_text(clamd.configuration())
        return clamd

    @property
    def socket(self) -> Path:
        """Its unix socket."""
        return self.folder / "clamd.ctl"

    @property
    def temporary(self) -> Path:
        """Its TemporaryDirectory."""
        return self.folder / "tmp"

    @property
    def note(self) -> str:
        """Which signatures it uses, for the user."""
        if self.database == _HOST_DATABASE:
            return f"clamd uses this host's signatures in {self.database}"
        return "NO CLAMAV SIGNATURES ON THIS HOST: clamd runs with a test database that knows the EICAR test file only"

    def configuration(self) -> str:
        """The deployed settings, with private values for places and users."""
        ours = {
            "LocalSocket": self.socket,
            "TemporaryDirectory": self.temporary,
            "DatabaseDirectory": self.database,
            "TCPSocket": self.port,
            "TCPAddr": "127.0.0.1",
            "Foreground": "yes",
        }
        dropped = {*ours, "User", "LocalSocketGroup"}
        lines = [line for line in _SETTINGS.read_text().splitlines() if line and not line.startswith("#")]
        kept = [line for line in lines if line.split()[0] not in dropped]
        return "\n".join([*kept, *(f"{key} {value}" for key, value in ours.items())]) + "\n"

    def start(self) -> None:
        """Starts it (again); returns before it is ready."""
        program = programs.find("clamd")
        command: list[str | Path] = [program, "--config-file", self.folder / "clamd.conf"]
        self.program = self.programs.start(self.name, command, programs.environment(program))

    def wait_ready(self, timeout: float = 100.0) -> None:
        """Returns when it answers PING; loading all real signatures takes some 20 seconds."""
        self.running.wait_ready(self.answers, timeout)

    def reload(self) -> None:
        """Let it load its database again; returns before it has."""
        assert self._ask(b"RELOAD") == b"RELOADING"

    def answers(self) -> bool:
        """Whether it answers PING."""
        return self._ask(b"PING") == b"PONG"

    def _ask(self, command: bytes) -> bytes:
        """The answer to a command; empty without one."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"z%s\0" % command)
                return connection.recv(16).removesuffix(b"\0")
            except OSError:
                return b""

    @property
    def running(self) -> Program:
        """The started program."""
        assert self.program is not None, "clamd was not started"
        return self.program

    def stop(self) -> None:
        """Ends it as an administrator would."""
        self.running.terminate()

    def kill(self) -> None:
        """Kill -9."""
        self.running.kill()

    def pause(self) -> None:
        """SIGSTOP: it accepts connections and never answers."""
        self.running.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.running.signal(signal.SIGCONT)


def has_signatures(folder: Path) -> bool:
    """Whether a folder holds one of the official databases, main or daily."""
    return any((folder / f"{name}.{kind}").exists() for name in ("main", "daily") for kind in ("cvd", "cld"))


def write_test_database(folder: Path, generated: int = 0) -> Path:
    """Writes a database with one signature, the EICAR test file anywhere in any file. Returns the folder.

    With as many generated ones, which occur nowhere, clamd works as it does with real ones.
    """
    (folder / "eicar.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
    if generated:
        noise = random.Random("signatures")  # noqa: S311  sample data
        lines = (
            f"Generated.{number}:0:*:{noise.randbytes(noise.randint(16, 64)).hex()}\n" for number in range(generated)
        )
        (folder / "generated.ndb").write_text("".join(lines))
    return folder


def write_database(folder: Path, version: int, signatures: Mapping[str, bytes]) -> None:
    """Writes a database of this version with signatures of bytes anywhere in any file, in place of the former one.

    It is an unsigned container (cud) of the name of the official one: clamd reports its version and date.
    """
    body = "".join(f"{name}:0:*:{content.hex()}\n" for name, content in signatures.items()).encode()
    now = int(time.time())
    date = time.strftime("%d %b %Y %H-%M +0000", time.gmtime(now))
    head = f"ClamAV-VDB:{date}:{version}:{len(signatures)}:90:{'0' * 32}:x:test:{now}"
    parts = {"COPYING": b"test\n", "daily.ndb": body}
    sums = "".join(f"{name}:{len(part)}:{sha256(part).hexdigest()}\n" for name, part in parts.items())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("COPYING", "daily.info", "daily.ndb"):
            part = parts.get(name, f"{head}\n{sums}".encode())
            member = tarfile.TarInfo(name)
            member.size = len(part)
            archive.addfile(member, io.BytesIO(part))
    (folder / "new").write_bytes(head.encode().ljust(512) + packed.getvalue())
    (folder / "new").rename(folder / "daily.cud")
