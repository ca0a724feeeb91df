"""A collector for the log of sendmail: a unix datagram socket and one file.

Run as a program (`python -m tests.harness.syslog SOCKET FILE`) it appends each datagram as a line; `Syslog` starts it
and reads the file. The datagrams come from preload.c, with neither priority nor trailing newline.
"""

import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.harness.processes import PATIENCE, Programs, wait_until


@dataclass(frozen=True)
class Syslog:
    """The log of one sandwich."""

    file: Path

    @classmethod
    def start(cls, programs: Programs, path: Path) -> "Syslog":
        """Starts a collector on socket `path`; it is ready on return."""
        file = programs.folder / "mail.log"
        program = programs.start("syslog", [sys.executable, "-m", __name__, path, file])
        program.wait_ready(file.exists)
        return cls(file)

    def lines(self) -> list[str]:
        """All lines so far, each `Mon DD HH:MM:SS tag[pid]: text`."""
        return self.file.read_text(errors="replace").splitlines()

    def find(self, pattern: str) -> re.Match[str] | None:
        """The first line that `pattern` (a regular expression) is found in."""
        return next((match for line in self.lines() if (match := re.search(pattern, line))), None)

    def find_last(self, pattern: str) -> re.Match[str] | None:
        """As find, but the last such line."""
        return next((match for line in reversed(self.lines()) if (match := re.search(pattern, line))), None)

    def wait_for(self, pattern: str, timeout: float = PATIENCE) -> re.Match[str]:
        """As find, but waits for such a line; ProgramError after `timeout` seconds."""
        return wait_until(lambda: self.find(pattern), timeout, f"a log line like {pattern!r}")


def collect(path: Path, file: Path) -> None:
    """Appends each datagram that reaches socket `path` to `file`, until the process is ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        with file.open("ab", buffering=0) as output:
            while True:
                output.write(listener.recv(65536) + b"\n")


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
