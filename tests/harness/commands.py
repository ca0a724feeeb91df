"""Commands of miltscan in the process of a test that is not about their process, whose start costs half a second."""

import os
import subprocess
from pathlib import Path

from miltscan.cli import app
from tests.fakes.runner import CliRunner


def in_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`miltscan` with these arguments. An error that the program would report in one line is raised."""
    command = [str(one) for one in arguments]
    umask = os.umask(0o077)
    os.umask(umask)
    try:
        result = CliRunner().invoke(app, command, catch_exceptions=False)
    finally:
        os.umask(umask)  # which a command sets for the rest of its process
    return subprocess.CompletedProcess(command, result.exit_code, result.stdout, result.stderr)
