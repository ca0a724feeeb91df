"""The parts that commands share: the option `--config`, groups, and the exit after an error."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from miltscan.commands.terminal import complain
from miltscan.errors import MiltscanError

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file [default: /etc/miltscan/miltscan.toml]",
        show_default=False,
        readable=False,  # not checked here: the loader names the user and the remedy
    ),
]


@contextmanager
def exit_on_error() -> Iterator[None]:
    """End the program with the text and the exit status of a MiltscanError instead of a traceback."""
    try:
        yield
    except MiltscanError as error:
        complain(str(error))
        raise typer.Exit(error.exit_status) from None


def command_group(meaning: str, example: str, commands: Mapping[str, Callable[..., Any]]) -> typer.Typer:
    """Return a command that has commands of its own, by name, in the order of its help, which ends with `example`."""
    group = typer.Typer(help=meaning, epilog=example, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
    for name, command in commands.items():
        group.command(name)(command)
    return group
