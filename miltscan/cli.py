"""The program: its commands, in the order of its help.

Each command in `commands` parses its arguments, calls the part that does the work, and prints. The exit status is 2
after a wrong configuration or wrong usage, and 1 if the service cannot start or a check fails.
"""

from typing import Annotated, NoReturn

import typer

from miltscan import __version__
from miltscan.commands.allow import allow, deny
from miltscan.commands.files import import_file, new_key_command, show_config
from miltscan.commands.hold import delete_held_messages, list_held, release_held
from miltscan.commands.lists import lists_app
from miltscan.commands.policy import policy_app
from miltscan.commands.policy_explain import explain_policy
from miltscan.commands.policy_replay import replay_policy
from miltscan.commands.quarantine_changes import check_quarantine, delete_entries, expire_entries
from miltscan.commands.quarantine_list import list_entries, search_entries, show_stats
from miltscan.commands.quarantine_message import download_entry, show_entry
from miltscan.commands.quarantine_release import release_entries
from miltscan.commands.quarantine_rescan import rescan_entries
from miltscan.commands.sandwich import doctor, probe
from miltscan.commands.scan import scan
from miltscan.commands.service import check, run
from miltscan.commands.setup import setup
from miltscan.commands.status import show_status
from miltscan.commands.terminal import run_on_clean_streams, say
from miltscan.commands.trace import trace

app = typer.Typer(
    help="Scans mail for sendmail inside the SMTP session.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
hold_app = typer.Typer(
    help="List, release and delete messages that sendmail holds.", no_args_is_help=True, rich_markup_mode=None
)
keys_app = typer.Typer(help="Manage the keys of receipts and probes.", no_args_is_help=True, rich_markup_mode=None)

quarantine_app = typer.Typer(
    help="List, release and delete the messages in quarantine.", no_args_is_help=True, rich_markup_mode=None
)


def run_cli() -> NoReturn:
    """Run the program; it ends the process."""
    run_on_clean_streams(lambda: app(prog_name="miltscan"))


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


app.command()(run)
app.command()(setup)
app.command("status")(show_status)
for command in (check, doctor, probe, scan, trace):
    app.command()(command)
app.command()(allow)
app.command()(deny)
app.add_typer(lists_app, name="lists", epilog="Example: miltscan lists --hits")
app.add_typer(policy_app, name="policy", epilog="Example: miltscan policy check && miltscan policy show")
policy_app.command("explain")(explain_policy)
policy_app.command("replay")(replay_policy)
app.command("config")(show_config)
app.command("import")(import_file)
app.add_typer(hold_app, name="hold", epilog="Example: miltscan hold list")
hold_app.command("list")(list_held)
hold_app.command("release")(release_held)
hold_app.command("delete")(delete_held_messages)
app.add_typer(keys_app, name="keys", epilog="Example: miltscan keys new && systemctl reload miltscan")
keys_app.command("new")(new_key_command)
app.add_typer(
    quarantine_app,
    name="quarantine",
    epilog="Example: miltscan quarantine list. Run it as root, or as the owner of quarantine.directory.",
)
quarantine_app.command("list")(list_entries)
quarantine_app.command("search")(search_entries)
quarantine_app.command("show")(show_entry)
quarantine_app.command("release")(release_entries)
quarantine_app.command("download")(download_entry)
quarantine_app.command("delete")(delete_entries)
quarantine_app.command("rescan")(rescan_entries)
quarantine_app.command("expire")(expire_entries)
quarantine_app.command("check")(check_quarantine)
quarantine_app.command("stats")(show_stats)
