"""The program: its commands, in the order of its help.

Each command in `commands` parses its arguments, calls the part that does the work, and prints. The exit status is 2
after a wrong configuration or wrong usage, and 1 if the service cannot start or a check fails.
"""

from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from miltscan import __version__
from miltscan.commands.terminal import run_on_clean_streams, say

_PLACES = {
    "run": "service.run",
    "setup": "setup.setup",
    "status": "status.show_status",
    "check": "service.check",
    "doctor": "sandwich.doctor",
    "probe": "sandwich.probe",
    "scan": "scan.scan",
    "trace": "trace.trace",
    "allow": "allow.allow",
    "deny": "allow.deny",
    "lists": "lists.lists_app",
    "policy": "policy_group.policy_app",
    "config": "files.show_config",
    "import": "files.import_file",
    "hold": "hold.hold_app",
    "keys": "files.keys_app",
    "quarantine": "quarantine_group.quarantine_app",
}
"""Where each command is, below `miltscan.commands`."""


class _Commands(TyperGroup):
    """Imports a command when it is asked for: all of them take a start, and each completion, half a second."""

    def list_commands(self, _context: object) -> list[str]:
        """Return the names, in the order of the help."""
        return [*_PLACES]

    def get_command(self, context: object, name: str) -> Any:  # noqa: ANN401 - click's, of two origins
        """Return the command; None if there is none of this name, of which all others are suggestions then."""
        if name not in _PLACES:
            self.load_all(context)
        elif name not in self.commands:
            module, _, attribute = _PLACES[name].partition(".")
            found = getattr(import_module(f"miltscan.commands.{module}"), attribute)
            made = get_group(found) if isinstance(found, typer.Typer) else get_command(_alone(name, found))
            made.name = name
            self.add_command(made)
        return self.commands.get(name)

    def load_all(self, context: object) -> None:
        """Import every command."""
        for name in _PLACES:
            self.get_command(context, name)


def _alone(name: str, command: Any) -> typer.Typer:  # noqa: ANN401 - its options are what typer reads
    made = typer.Typer(add_completion=False, rich_markup_mode=None)
    made.command(name)(command)
    return made


app = typer.Typer(
    cls=_Commands,
    help="Scans mail for sendmail inside the SMTP session.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def run_cli() -> NoReturn:
    """Run the program; it ends the process."""
    run_on_clean_streams(lambda: app(prog_name="miltscan"))


def whole_program() -> Any:  # noqa: ANN401 - as above
    """Return the program with all its commands imported, for their documentation."""
    program: Any = get_command(app)
    program.load_all(None)
    return program


def _version(*, requested: bool) -> None:
    if requested:
        say(f"miltscan {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Example: miltscan check && miltscan run. Each command has examples: miltscan COMMAND --help",
)
def _options(
    *,
    _requested: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Scans mail for sendmail inside the SMTP session."""
