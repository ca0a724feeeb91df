"""Starts a command as systemd does for a service with socket units: with open sockets as its descriptors from 3 on.

python activated.py 17:miltscan.socket,18: COMMAND...    (descriptors of the caller, each with its name)
"""

import fcntl
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from socket import socket

_FIRST = 3  # SD_LISTEN_FDS_START


def activated(command: Sequence[str | Path], sockets: Mapping[str, socket]) -> list[str | Path]:
    """The command that runs `command` with these sockets, by their names; pass it their descriptors."""
    passed = ",".join(f"{one.fileno()}:{name}" for name, one in sockets.items())
    return [sys.executable, __file__, passed, *command]


def main(passed: str, *command: str) -> None:
    """Become the command."""
    pairs = [one.split(":") for one in passed.split(",")]
    spare = [fcntl.fcntl(int(descriptor), fcntl.F_DUPFD, _FIRST + len(pairs)) for descriptor, _ in pairs]
    for number, descriptor in enumerate(spare, _FIRST):
        os.dup2(descriptor, number)
        os.set_blocking(number, True)
        os.close(descriptor)
    os.environ |= {
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(pairs)),
        "LISTEN_FDNAMES": ":".join(name for _, name in pairs),
    }
    os.execv(command[0], command)  # noqa: S606 - it has to keep this process ID


if __name__ == "__main__":
    main(*sys.argv[1:])
