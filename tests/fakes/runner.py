"""Typer's runner of commands, whose results have standard output and standard error apart."""

import inspect
from typing import Any

from typer import testing


class CliRunner(testing.CliRunner):
    """The runner; click before 8.2, as in Debian 13, mixes both unless it is asked not to.

    Tests read `stdout` and `stderr`: `output` of a result is both since click 8.2, and standard output before.
    """

    def __init__(self) -> None:
        mixes = "mix_stderr" in inspect.signature(testing.CliRunner.__init__).parameters
        options: dict[str, Any] = {"mix_stderr": False} if mixes else {}
        super().__init__(**options)
