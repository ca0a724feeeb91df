"""`quarantine rescan`: scans messages of the quarantine again, at once."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import time
from collections import Counter
from typing import TYPE_CHECKING

import typer

from miltscan.commands.common import Config
from miltscan.commands.progress import progress
from miltscan.commands.quarantine_common import EntryIds, IdentityFile, Json, Opened, opened
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
from miltscan.core.rescan import RescanResult
from miltscan.core.text import readable
from miltscan.core.verdict import Limit
from miltscan.errors import EntryError
from miltscan.scanning.rescanner import Rescanner

if TYPE_CHECKING:
    from miltscan.quarantine.rescan import Rescanned

_FAILED = (RescanResult.UNSCANNED, RescanResult.FAILED)


def rescan_entries(  # noqa: PLR0913 - one parameter for each option
    entries: EntryIds = None,
    *,
    area: AreaOption = "",
    sender: SenderOption = "",
    recipient: RecipientOption = "",
    signature: SignatureOption = "",
    state: StateOption = None,
    since: SinceOption = "",
    until: UntilOption = "",
    json: Json = False,
    identity: IdentityFile = None,
    config: Config = None,
) -> None:
    """Scan entries again: all, by ID or by filter.

    The service does this by itself after an update of the signatures. An entry in which no engine finds anything any
    more becomes cleared; `list --state cleared` shows these. The status is 1 if an entry could not be scanned, does not
    exist, or if no entry matches.

    \b
    Examples:
      miltscan quarantine rescan 01m8jfm6b0
      miltscan quarantine rescan --signature 'Heuristics.*' --since 7d
      miltscan quarantine rescan
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
    if entries and wanted != selection(0):
        raise typer.BadParameter("expected either IDs or a filter such as --area")
    counts: Counter[RescanResult] = Counter()
    with opened(config, identity) as quarantine:
        ids, failed = quarantine.chosen(entries, wanted)
        scanner = Rescanner(quarantine.settings)
        scanner.look()
        for line in scanner.down():
            complain(f"{readable(line)}; miltscan check shows the remedy")
        with progress("Scanning", len(ids), prints=True) as update:
            for number, entry_id in enumerate(ids, 1):
                done = _rescan(quarantine, scanner, entry_id)
                if done and done.report.verdict.reason is Limit.NO_ENGINE:
                    raise typer.Exit(1)  # nor would the next one be scanned: the lines above say why
                if done:
                    counts[done.result] += 1
                    _print(done, json=json)
                failed += done is None
                update(number)
    if not json:
        results = ", ".join(f"{number:,} {result}" for result, number in counts.items())
        say(f"scanned {counted(counts.total(), 'entry', 'entries')}" + (f": {results}" if results else ""))
    raise typer.Exit(int(bool(failed or any(counts[one] for one in _FAILED))))


def _rescan(quarantine: Opened, scanner: Rescanner, entry_id: str) -> "Rescanned | None":
    """The result for one entry; None if it could not be read, after a line that says why."""
    from miltscan.quarantine.rescan import rescan  # noqa: PLC0415 - SQLAlchemy is not for the service

    try:
        keys = quarantine.needed_keys(entry_id)
        return rescan(quarantine.store, entry_id, scanner, by=quarantine.user, keys=keys)
    except EntryError as error:
        complain(str(error))
        return None


def _print(done: "Rescanned", *, json: bool) -> None:
    """One line: the result, what was found now and what before."""
    verdict, (outcome, signature) = done.report.verdict, done.before
    if json:
        now = {"outcome": verdict.outcome, "reason": verdict.reason, "signature": verdict.signature}
        before = {"outcome": outcome, "signature": signature}
        say_json({"id": done.entry.id, "result": done.result, **now, "before": before})
        return
    was = readable(signature or outcome)
    found = readable(verdict.signature or str(verdict.reason or verdict.outcome))
    say(f"{done.entry.id}  {done.result}: {found}" + (f", before {was}" if was != found else ""))
