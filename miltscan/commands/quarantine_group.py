"""`quarantine`: the commands for the messages in quarantine, in the order of its help."""

import typer

from miltscan.commands.quarantine_changes import check_quarantine, delete_entries, expire_entries
from miltscan.commands.quarantine_list import list_entries, search_entries, show_stats
from miltscan.commands.quarantine_message import download_entry, show_entry
from miltscan.commands.quarantine_release import release_entries
from miltscan.commands.quarantine_rescan import rescan_entries

quarantine_app = typer.Typer(
    help="List, release and delete the messages in quarantine.",
    epilog="Example: miltscan quarantine list. Run it as root, or as the owner of quarantine.directory.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
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
