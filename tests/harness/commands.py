"""Commands of miltscan in the process of a test that is not about their process, whose start costs half a second."""

import subprocess
from pathlib import Path

from typer.testing import CliRunner

from miltscan.cli import app


def in_process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`miltscan` with these arguments. An error that the program would report in one line is raised."""
    command = [str(one) for one in arguments]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    return subprocess.CompletedProcess(command, result.exit_code, result.stdout, result.stderr)
