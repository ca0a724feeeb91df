"""A private log, SASL settings and a dotted host name for sendmail, by a small library it loads first (preload.c).

The host's /dev/log and /etc/hosts are neither needed nor touched, and no privilege is needed either, so that it works
in a container as on a host. Needs gcc.
"""

import json
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

from tests.harness import hostname, programs

_SOURCE = Path(__file__).with_name("preload.c")


def log_socket(folder: Path) -> Path:
    """Where a syslog collector has to listen for the sendmails of `folder`."""
    return folder / "log"


def prepare(folder: Path) -> None:
    """Builds the library in `folder`, next to a copy of sendmail. Raises CalledProcessError, MissingProgramError.

    A copy, because sendmail is installed setgid, and the loader ignores LD_PRELOAD for a setgid program.
    """
    shutil.copyfile(programs.find("sendmail"), program(folder))
    program(folder).chmod(0o755)
    strings = {
        "LOG_SOCKET": str(log_socket(folder)),
        "HOST_NAME": socket.gethostname(),
        "DOTTED_NAME": hostname.dotted_name() or f"{socket.gethostname()}.example.test",
        "SASL_FOLDER": str(folder),
    }
    # a JSON string of plain characters is a C string
    definitions = [f"-D{name}={json.dumps(value)}" for name, value in strings.items()]
    command: list[str | Path] = [
        "gcc",
        "-shared",
        "-fPIC",
        "-Wall",
        *definitions,
        "-o",
        _library(folder),
        _SOURCE,
        "-ldl",
    ]
    subprocess.run(command, check=True, capture_output=True)
    _write_wrapper(folder)


def program(folder: Path) -> Path:
    """The copy of sendmail that `prepare` made."""
    return folder / "sendmail"


def environment(folder: Path) -> dict[str, str]:
    """What that copy needs in its environment."""
    return {**programs.environment(programs.find("sendmail")), "LD_PRELOAD": str(_library(folder))}


def _library(folder: Path) -> Path:
    return folder / "preload.so"


def wrapper(folder: Path) -> Path:
    """A script that `prepare` made: it starts that copy in that environment, for a sendmail that sendmail starts."""
    return folder / "sendmail-program"


def _write_wrapper(folder: Path) -> None:
    variables = " ".join(shlex.quote(f"{name}={value}") for name, value in environment(folder).items())
    wrapper(folder).write_text(f'#!/bin/sh\nexport {variables}\nexec {program(folder)} "$@"\n')
    wrapper(folder).chmod(0o755)
