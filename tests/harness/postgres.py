"""A real PostgreSQL in a private folder, of an ordinary user: it listens on a unix socket there, and on no port."""

import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.harness import programs
from tests.harness.processes import PATIENCE, Program, Programs, wait_until

_FOLDERS = "usr/lib/postgresql/*/bin"  # Debian has a folder for each version, none of them on PATH
USER = "miltscan"


@dataclass
class Postgres:
    """A started server; `stop` and `start` as often as needed."""

    owner: Programs
    folder: Path
    program: Program | None = None

    @classmethod
    def create(cls, owner: Programs) -> "Postgres":
        """Make a cluster below the folder of `owner`, and start it."""
        folder = owner.folder / "postgres"
        folder.mkdir(mode=0o755)
        server = cls(owner, folder)
        arguments = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", f"--username={USER}"]
        subprocess.run(
            server._command("initdb", f"--pgdata={folder}/data", *arguments), check=True, capture_output=True
        )
        server.start()
        return server

    @property
    def url(self) -> str:
        """The URL of its database for SQLAlchemy."""
        return f"postgresql+psycopg://{USER}@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start it; returns when it accepts connections."""
        arguments = ["-D", f"{self.folder}/data", "-k", str(self.folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        name = f"postgres {len(list(self.owner.folder.glob('postgres *.log')))}"
        self.program = self.owner.start(name, self._command("postgres", *arguments))
        self.program.wait_ready(lambda: self.query("SELECT 1") == "1")

    def stop(self) -> None:
        """Stop it: connections are cut, and the socket is gone."""
        if self.program is not None:
            self.program.signal(signal.SIGINT)  # TERM waits for the clients
            self.program.terminate()
        wait_until(lambda: not (self.folder / ".s.PGSQL.5432").exists(), PATIENCE, "the end of PostgreSQL")

    def query(self, text: str) -> str:
        """The result of a query, as psql prints it without decoration; empty if the server does not answer."""
        command = [str(_find("psql")), "-h", str(self.folder), "-U", USER, "-d", "postgres", "-XAtc", text]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def _command(self, name: str, *arguments: str) -> list[str]:
        """The command, for root as another user: PostgreSQL refuses to run as root."""
        command: list[str | Path] = [_find(name), *arguments]
        if Path("/proc/self").stat().st_uid == 0:
            command = programs.unprivileged(command, self.folder)
        return [str(part) for part in command]


def _find(name: str) -> Path:
    roots = (programs.private_root(), Path("/"))
    folders = sorted(
        (folder for root in roots for folder in root.glob(_FOLDERS)), key=lambda folder: folder.parent.name
    )
    found = next((folder / name for folder in reversed(folders) if (folder / name).exists()), None)
    if found is None:
        raise programs.MissingProgramError(f"no program {name}: deploy/debian/install installs what is missing")
    return found
