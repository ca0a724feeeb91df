"""`python -m miltscan` is the program."""

import subprocess
import sys

from miltscan import __version__


def test_the_module_runs_the_program() -> None:
    """The module takes the arguments of the program."""
    command = [sys.executable, "-m", "miltscan", "--version"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"miltscan {__version__}\n", "")
