"""`quarantine delete`, `quarantine expire` and `quarantine check`: what removes entries, and what looks after them."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from miltscan.commands.common import Config
from miltscan.commands.progress import progress
from miltscan.commands.quarantine_common import EntryIds, Json, Opened, Yes, opened
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
from miltscan.commands.tables import counted
from miltscan.commands.terminal import complain, say, say_json
from miltscan.core.text import readable
from miltscan.errors import EntryError
from miltscan.quarantine.audit import AuditLine, deletion_line, expiry_line
from miltscan.telemetry.audit import write_audit

if TYPE_CHECKING:
    from miltscan.quarantine.check import CheckReport

_FEW = 20  # entries for which a bar would only flicker


def delete_entries(  # noqa: PLR0913 - one parameter for each option
    entries: EntryIds = None,
    *,
    area: AreaOption = "",
    sender: SenderOption = "",
    recipient: RecipientOption = "",
    signature: SignatureOption = "",
    state: StateOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
    yes: Yes = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Delete entries for good, by ID or by filter.

    On a terminal it asks first, with their number; otherwise --yes is required. An entry that is being released stays.
    The status is 0 if all are deleted, 1 if one is not, does not exist, or if no entry matches.

    \b
    Examples:
      miltscan quarantine delete 01m8jfm6b0
      miltscan quarantine delete --signature Win.Test.EICAR_HDB-1
      miltscan quarantine delete --area refused --until 90d --yes
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
    if bool(entries) == (wanted != selection(0)):
        raise typer.BadParameter("expected either IDs or a filter such as --area")
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("standard input is not a terminal, so that nothing can be asked: expected --yes")
    with opened(config) as quarantine:
        ids, missing = quarantine.chosen(entries, wanted)
        failed = 0
        if not yes and not typer.confirm(f"Delete {counted(len(ids), 'entry', 'entries')} for good?", err=True):
            raise typer.Exit(1)
        with progress("Deleting", len(ids), shown=len(ids) > _FEW, prints=json) as update:
            for number, entry_id in enumerate(ids, 1):
                failed += not _delete(quarantine, entry_id, json=json)
                update(number)
        if not json:
            say(f"deleted {counted(len(ids) - failed, 'entry', 'entries')}")
    raise typer.Exit(int(bool(failed or missing)))


def _delete(quarantine: Opened, entry_id: str, *, json: bool) -> bool:
    """Delete one entry with its line in the log; returns whether it is deleted, otherwise a line says why not."""
    try:
        line = deletion_line(quarantine.files.read(entry_id).entry, quarantine.user, "deleted by hand")
    except EntryError:  # a broken file can be deleted, too
        fields = {"queue_id": "", "entry": entry_id, "area": "", "by": quarantine.user}
        line = AuditLine("entry_deleted", "info", {**fields, "reason": "deleted by hand, broken"})
    try:
        deleted = quarantine.store.delete(entry_id)
    except EntryError as error:
        complain(str(error))
        return False
    if not deleted:
        complain(f"entry {entry_id}: is being released. Try again later.")
        return False
    write_audit(*line)
    if json:
        say_json({"id": entry_id, "deleted": True})
    return True


def expire_entries(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Config = None,
) -> None:
    """Delete what areas no longer keep.

    The service does this by itself; the command does it at once. Entries that are being released stay.

    \b
    Examples:
      miltscan quarantine expire
    """
    with opened(config, absent=0) as quarantine, progress("Deleting") as update:
        gone: Counter[str] = Counter()
        while page := quarantine.store.expire(time.time()):
            for one in page:
                write_audit(*expiry_line(one, quarantine.user))
            gone.update(one.bound for one in page)
            update(gone.total())
    why = ", ".join(f"{number:,} by {bound}" for bound, number in sorted(gone.items()))
    if json:
        say_json({"deleted": gone.total(), "by": dict(gone)})
    else:
        say(f"deleted {counted(gone.total(), 'entry', 'entries')}" + (f": {why}" if why else ""))


def check_quarantine(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read the messages.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Config = None,
) -> None:
    """Compare files and index.

    It makes the index what the files say, and removes what killed processes left. It reads every message and compares
    its SHA-256. The status is 1 if a file is broken.

    \b
    Examples:
      miltscan quarantine check
      miltscan quarantine check --quick
      miltscan quarantine check --json | jq '.broken[]'
    """
    with opened(config, absent=0) as quarantine:
        with progress("Checking") as update:
            report = quarantine.store.check(update, digests=not quick)
        if json:
            say_json(_check_fields(report), indent=2)
        else:
            _print_check(report)
    raise typer.Exit(int(bool(report.broken)))


def _print_check(report: "CheckReport") -> None:
    for path, reason in report.broken:
        say(f"{readable(str(path))}: {readable(reason)}", "error")
    for path in report.foreign:
        say(f"{readable(str(path))}: is not a file of miltscan; remove it", "warning")
    for path in report.leftovers:
        say(f"{readable(str(path))}: was left by a process that was killed; removed")
    rows = f"rows added: {report.added:,}, changed: {report.changed:,}, removed: {report.removed:,}"
    say(f"entries: {report.entries:,}, broken: {len(report.broken):,}; {rows}")


def _check_fields(report: "CheckReport") -> dict[str, object]:
    return {
        "entries": report.entries,
        "broken": [{"file": readable(str(path)), "reason": readable(reason)} for path, reason in report.broken],
        "foreign": [readable(str(path)) for path in report.foreign],
        "leftovers": [readable(str(path)) for path in report.leftovers],
        "rows": {"added": report.added, "changed": report.changed, "removed": report.removed},
    }
