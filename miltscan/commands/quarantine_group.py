"""`quarantine`: the commands for the messages in quarantine, in the order of its help."""

from miltscan.commands.common import command_group
from miltscan.commands.quarantine_changes import check_quarantine, delete_entries, expire_entries
from miltscan.commands.quarantine_list import list_entries, search_entries, show_stats
from miltscan.commands.quarantine_message import download_entry, show_entry
from miltscan.commands.quarantine_release import release_entries
from miltscan.commands.quarantine_rescan import rescan_entries

quarantine_app = command_group(
    "List, release and delete the messages in quarantine.",
    "Example: miltscan quarantine list. Run it as root, or as the owner of quarantine.directory.",
    {
        "list": list_entries,
        "search": search_entries,
        "show": show_entry,
        "release": release_entries,
        "download": download_entry,
        "delete": delete_entries,
        "rescan": rescan_entries,
        "expire": expire_entries,
        "check": check_quarantine,
        "stats": show_stats,
    },
)
