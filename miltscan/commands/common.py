"""What the commands share: the option `--config`, the colours of findings, and how a mistake is told.

What a command needs beyond this is imported when it runs: the service keeps none of the others' memory, and `--help`
is quick.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from miltscan.errors import MiltscanError

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Configuration file [default: /etc/miltscan/miltscan.toml]", show_default=False
    ),
]
COLORS = {"warning": typer.colors.YELLOW, "error": typer.colors.RED}
"""Of a finding, by its level."""


@contextmanager
def told() -> Iterator[None]:
    """Ends the program with the text of our own exceptions and their exit status instead of a traceback."""
    try:
        yield
    except MiltscanError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_status) from None
