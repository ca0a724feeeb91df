"""`quarantine list`, `quarantine search` and `quarantine stats`: what is in the quarantine, by its index."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import time
from collections.abc import Iterator
from itertools import islice
from shutil import disk_usage
from typing import TYPE_CHECKING, Annotated

import typer

from miltscan.commands.common import Config
from miltscan.commands.quarantine_common import Json, Opened, opened
from miltscan.commands.quarantine_filters import (
    AreaOption,
    RecipientOption,
    SenderOption,
    SignatureOption,
    SinceOption,
    StateOption,
    UntilOption,
    selection,
)
from miltscan.commands.quarantine_view import area_fields, areas_text, row_fields, rows_text
from miltscan.commands.tables import counted, size_text, terminal_width
from miltscan.commands.terminal import complain, say, say_json

if TYPE_CHECKING:
    from miltscan.quarantine.selection import Selection
    from miltscan.quarantine.tables import Row

_PAGE = 500  # rows read at once
Limit = Annotated[
    int, typer.Option("--limit", "-n", min=0, metavar="N", help="At most this many entries; 0 means all.")
]
Ids = Annotated[bool, typer.Option("--ids", help="Print only the IDs, one a line.")]


def list_entries(  # noqa: PLR0913 - one parameter for each option
    *,
    area: AreaOption = "",
    sender: SenderOption = "",
    recipient: RecipientOption = "",
    signature: SignatureOption = "",
    state: StateOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
    limit: Limit = 20,
    ids: Ids = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """List entries, the newest first.

    The status is 0, also if there are none.

    \b
    Examples:
      miltscan quarantine list
      miltscan quarantine list --state cleared --since 7d
      miltscan quarantine list --recipient @example.org --signature 'Heuristics.*'
      miltscan quarantine list --json --limit 0 | jq -r '[.id, .sender] | @tsv'
      miltscan quarantine list --ids --limit 0 --area macros
    """
    wanted = selection(
        time.time(),
        area=area,
        sender=sender,
        recipient=recipient,
        signature=signature,
        state=state,
        since=since,
        until=until,
    )
    with opened(config, absent=0) as quarantine:
        if not _print(quarantine, wanted, limit, ids=ids, json=json):
            complain("no entries" if wanted == selection(0) else "no entry matches")


def search_entries(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to look for; of several words all have to occur.")],
    *,
    limit: Limit = 20,
    ids: Ids = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Search entries by text, the newest first.

    It finds the text in the subject, in From:, in sender and recipients, in the signature, the queue ID and the
    Message-ID, in upper or lower case. The status is 1 if no entry matches.

    \b
    Examples:
      miltscan quarantine search invoice
      miltscan quarantine search 6AMG4FAU001849
      miltscan quarantine search '<cb0233fab7b04e6d@example.org>'
    """
    with opened(config) as quarantine:
        if not _print(quarantine, selection(0, text=text), limit, ids=ids, json=json):
            complain("no entry matches")
            raise typer.Exit(1)


def _print(quarantine: Opened, wanted: "Selection", limit: int, *, ids: bool, json: bool) -> int:
    """Print at most `limit` entries (0: all) and how many more there are; returns the number that was printed."""
    shown = 0
    for page in _pages(quarantine, wanted, limit):
        if ids:
            say("\n".join(row.id for row in page))
        elif json:
            for row in page:
                say_json(row_fields(row))
        else:
            lines = rows_text(page, terminal_width())
            say("\n".join(islice(lines, bool(shown), None)))  # titles once
        shown += len(page)
    if shown == limit and (more := quarantine.store.count(wanted) - shown) > 0:
        complain(f"and {counted(more, 'older entry', 'older entries')}; --limit 0 shows all")
    return shown


def _pages(quarantine: Opened, wanted: "Selection", limit: int) -> Iterator[list["Row"]]:
    """The rows, newest first, some at a time: there may be any number of them."""
    last, left = "", limit
    while page := quarantine.store.rows(wanted, min(left or _PAGE, _PAGE), last):
        yield page
        last, left = page[-1].id, left - len(page)
        if limit and left <= 0:
            return


def show_stats(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Config = None,
) -> None:
    """Show how much is in the quarantine.

    For each area: the entries, their size on disk, the oldest one, and the entries in each state. FAILED counts the
    stored and cleared entries whose last release failed.

    \b
    Examples:
      miltscan quarantine stats
      miltscan quarantine stats --json | jq '.areas[] | select(.entries > 10000) | .area'
    """
    with opened(config, absent=0) as quarantine:
        folder = quarantine.files.directory
        areas, free = area_fields(quarantine.store.totals(), quarantine.store.states()), disk_usage(folder).free
        if json:
            say_json({"areas": areas, "waiting": quarantine.store.unindexed(), "free": free}, indent=2)
            return
        say("\n".join(areas_text(areas, terminal_width())) if areas else "no entries")
        say(f"free on its disk: {size_text(free)}")
