"""`lists`: shows the allow and deny lists, and removes an entry."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.dropping import acting_user
from miltscan.commands.lists_common import audit_change, entry_lines, list_fields, list_file
from miltscan.commands.progress import progress
from miltscan.commands.tables import terminal_width
from miltscan.commands.terminal import complain, say, say_json
from miltscan.config.load import load_settings
from miltscan.core.lists import described
from miltscan.sandwich.logfiles import Logs, has_journal, usual_files
from miltscan.sandwich.logline import parse_line

lists_app = typer.Typer(
    help="Show the allow and deny lists, and remove an entry.",
    epilog="Example: miltscan lists --hits",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)
_SHOWN = 10  # numbers of broken lines


@lists_app.callback()
def show_lists(
    context: typer.Context,
    *,
    hits: Annotated[
        bool, typer.Option("--hits", help="Count in the logs of this host to how many messages each entry applied.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each entry.")] = False,
    config: Config = None,
) -> None:
    """Show the allow and deny lists.

    It shows the entries in force: what each one names, who added it, when, until when, and why. The status is 1 if a
    line of the file cannot be read, else 0.

    \b
    Examples:
      miltscan lists
      miltscan lists --hits
      miltscan lists --json | jq -r 'select(.list == "allow") | .signature'
      miltscan lists remove 7k2m9q4w --reason 'fixed in signatures 27800'
    """
    if context.invoked_subcommand:
        return
    with exit_on_error():
        settings = load_settings(config)
        counts = _hits() if hits else None
        file = list_file(settings)
        lists = file.read()
    now = time.time()
    entries = [one for one in lists.entries if one.is_in_force(now)]
    for one in entries:
        number = None if counts is None else counts[one.id]
        if json:
            say_json(list_fields(one, number))
        else:
            say("\n".join(entry_lines(one, terminal_width(), number)))
    if not entries and not json:
        say("both lists are empty")
    if lists.broken:
        numbers = ", ".join(map(str, lists.broken[:_SHOWN]))
        complain(f"{file.path}: skipped what cannot be read, line {numbers}: docs/runbook.md#miltscanlistsbroken")
        raise typer.Exit(1)


def remove_entry(
    entry: Annotated[str, typer.Argument(metavar="ID", help="The ID of an entry, or its beginning.")],
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason, for the record.")],
    config: Config = None,
) -> None:
    """Remove an entry from the allow or deny list.

    It is out of force in all workers within a second. The file of the lists keeps its addition and its removal.

    \b
    Examples:
      miltscan lists remove 7k2m9q4w --reason 'fixed in signatures 27800'
    """
    with exit_on_error():
        user = acting_user()
        file = list_file(load_settings(config))
        removed = file.remove(entry, time.time(), user, reason)
        audit_change("list_removed", removed, user, reason)
    say(f"removed {removed.id}: {removed.list} {described(removed)}")


lists_app.command("remove")(remove_entry)


def _hits() -> Mapping[str, int]:
    """To how many messages each entry applied, by its ID, as far as the logs of this host reach."""
    logs, found = Logs(usual_files(), journal=has_journal(), on_error=complain), Counter[str]()
    now, seen = datetime.now().astimezone(), set[tuple[str, str]]()
    with progress("Reading the logs", logs.size) as logs.on_progress:
        for line in logs.matching((b'"list":"',)):
            event = parse_line(line, now)
            list_id, message = event.get("list"), (event.get("queue_id") or "", event.get("timestamp") or "")
            if list_id and event.get("event") == "message" and message not in seen:
                seen.add(message)  # the same line may be in a file and in the journal
                found[list_id] += 1
    return found
