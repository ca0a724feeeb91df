"""A milter as one more program of a sandwich: any command that opens a socket."""

import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.harness.processes import PATIENCE, Program, Programs


@dataclass
class Milter:
    """The command that runs the milter, and the unix socket it then opens."""

    programs: Programs
    command: Sequence[str | Path]
    socket: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "milter"
    program: Program | None = None

    def start(self) -> None:
        """Starts it (again); returns before it is ready."""
        self.program = self.programs.start(self.name, self.command, self.environment)

    def wait_ready(self, timeout: float = PATIENCE) -> None:
        """Returns when its socket accepts connections."""
        self.running.wait_ready(lambda: accepts(self.socket), timeout)

    @property
    def running(self) -> Program:
        """The started program."""
        assert self.program is not None, "the milter was not started"
        return self.program

    def stop(self) -> None:
        """TERM, and waits for its end."""
        self.running.terminate(timeout=PATIENCE)

    def kill(self) -> None:
        """Kill -9 to it and all its processes."""
        self.running.kill()

    def reload(self) -> None:
        """SIGHUP."""
        self.running.signal(signal.SIGHUP)


def accepts(path: Path) -> bool:
    """Whether something accepts connections on this unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
