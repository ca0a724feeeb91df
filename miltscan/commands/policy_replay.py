"""`policy replay`: past messages under a candidate, from the log and the quarantine."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.policy_case import case_of_entry, case_of_line, week_time_of
from miltscan.commands.progress import progress
from miltscan.commands.quarantine_common import Opened, opened
from miltscan.commands.tables import counted
from miltscan.commands.terminal import complain, say, say_json
from miltscan.config.load import load_settings
from miltscan.config.units import parse_duration
from miltscan.core.action import ActionName
from miltscan.core.policy import Policy, is_of_policy
from miltscan.core.released import head_and_body, parse_head
from miltscan.core.replayed import RecipientsFate, Replay, action_text
from miltscan.core.text import readable
from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.entry import day_of, first_id
from miltscan.quarantine.files import Files
from miltscan.sandwich.logfiles import Logs, has_journal, usual_files
from miltscan.sandwich.logline import LogEvent, entries_of, is_refused, parse_line
from miltscan.scanning.assemble import ruled_policy

if TYPE_CHECKING:
    from miltscan.core.edits import Header

_CHUNK = 256 * 1024  # bytes
_EVENTS = ("message", "recipient_refused")
_TEXTS = [f'"event":{space}"{event}"'.encode() for event in _EVENTS for space in ("", " ")]
"""The second space: a log program wrote the line again."""
_MOST_ENTRIES = 200_000
"""Messages of the logs that are in the quarantine: their IDs take 20 MB."""
_LONG = 50_000_000  # bytes of logs, which take several seconds


def replay_policy(  # noqa: PLR0913 - each is an option
    *,
    policy: Annotated[
        Path, typer.Option("--policy", metavar="FILE", help="The candidate: a whole miltscan.toml.", readable=False)
    ],
    since: Annotated[str, typer.Option("--since", metavar="AGE", help="How old messages may be.")] = "7d",
    logs: Annotated[
        list[Path] | None,
        typer.Option("--log", "-l", metavar="FILE", help="Read this log; may be repeated.", readable=False),
    ] = None,
    quarantine: Annotated[bool, typer.Option(help="Whether to read the quarantine, too.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    config: Config = None,
) -> None:
    """Show what another file of rules would have done.

    It decides the messages in the log, and those in the quarantine, again by the candidate, with the verdicts of then,
    and counts what would change. A recipient who was refused at RCPT counts as a message. What depends on a fact that
    the log does not have is counted apart. Messages that a list, a receipt or a failure decided are left out. Nothing
    is changed.

    \b
    Examples:
      miltscan policy replay --policy ./candidate.toml
      miltscan policy replay --policy ./candidate.toml --since 24h --log /var/log/mail.log --json
    """
    try:
        earliest = time.time() - parse_duration(since)
    except ValueError:
        raise typer.BadParameter('expected a duration such as "7d" or "24h"', param_hint="--since") from None
    with exit_on_error():
        settings = load_settings(policy)
        candidate = ruled_policy(settings, "localhost")
        found, seen = Replay(settings.policy.recipients), set[str]()
        _replay_logs(candidate, earliest, logs, found, seen)
        if quarantine and Path(load_settings(config).quarantine.directory).is_dir():
            # a quarantine that cannot be read has its line, and the result of the logs stands
            with suppress(typer.Exit), opened(config) as store:
                _replay_entries(candidate, earliest, store, found, seen)
    if json:
        say_json(_fields(found))
    else:
        say("\n".join(_text(found)))


def _replay_logs(policy: Policy, earliest: float, logs: list[Path] | None, found: Replay, seen: set[str]) -> None:
    """The messages of the logs; the IDs of their entries in the quarantine are noted in `seen`, up to a number."""
    now = datetime.now().astimezone()
    read = Logs(logs or usual_files(), journal=not logs and has_journal(), on_error=complain)
    with progress("Reading the logs", read.size, shown=read.size >= _LONG) as read.on_progress:
        for line in read.matching(_TEXTS):
            event = parse_line(line, now)
            if event.get("event") not in _EVENTS or not event.time or event.time.timestamp() < earliest:
                continue
            if len(seen) < _MOST_ENTRIES:
                seen.update(entries_of(event))
            if event.get("receipt") or event.get("list") or not is_of_policy(event.get("rule") or ""):
                found.left_out += 1
                continue
            found.refused += is_refused(event)
            case = case_of_line(event, week_time_of(event.time), policy.rules.headers)
            queue_id = event.get("queue_id") or event.queue_id or ""  # an MTA other than sendmail has other forms
            found.add(policy, case, [*_before(event)], readable(queue_id, 60))


def _before(event: LogEvent) -> Iterator[RecipientsFate]:
    """What was done for each group of recipients, else for all."""
    if is_refused(event):
        action = ActionName.TEMPFAIL if (event.get("reply") or "").startswith("4") else ActionName.REJECT
        yield RecipientsFate(action, event.get("rule") or "")
        return
    groups = event.fields.get("decisions")
    given: list[Mapping[str, object]] = []
    if isinstance(groups, list):
        given = [one for one in groups if isinstance(one, dict)]
    for one in given or [event.fields]:
        named = one.get("recipients") if given else None
        names = [who for who in named if isinstance(who, str)] if isinstance(named, list) else []
        recipients = tuple(who.encode() for who in names)
        yield RecipientsFate(
            action_text(str(one.get("action")), str(one.get("area") or "")), str(one.get("rule")), recipients
        )


def _replay_entries(policy: Policy, earliest: float, store: Opened, found: Replay, seen: set[str]) -> None:
    """The messages of the quarantine that no line of the logs is about."""
    if len(seen) >= _MOST_ENTRIES:
        complain(
            f"quarantine not read: the logs name more than {_MOST_ENTRIES:,} of its entries; use a shorter --since"
        )
        return
    total = sum(map(len, _entry_ids(store.files, earliest)))
    with progress("Reading the quarantine", total) as on_progress:
        ids = (one for several in _entry_ids(store.files, earliest) for one in several)
        for number, entry_id in enumerate(ids):
            on_progress(number)
            if entry_id not in seen:
                _replay_entry(policy, store, entry_id, found)


def _entry_ids(files: Files, earliest: float) -> Iterator[Sequence[str]]:
    """The IDs of entries that are not older, which sort by time: those that the index may not know, then by day."""
    first = first_id(earliest)
    waiting = [one for one in files.waiting() if one >= first]
    yield waiting
    known = {*waiting}
    for day in files.days():
        if day >= day_of(first):
            yield [one for one in files.ids(day) if one >= first and one not in known]


def _replay_entry(policy: Policy, store: Opened, entry_id: str, found: Replay) -> None:
    try:
        entry = store.files.read(entry_id).entry
    except EntryError as error:  # deleted meanwhile, or damaged
        complain(str(error))
        return
    if entry.receipt is not None or not is_of_policy(entry.rule):
        found.left_out += 1
        return
    headers = _headers(store, entry.id) if policy.rules.headers else None
    before = [RecipientsFate(action_text(entry.action, entry.area), entry.rule)]
    found.add(policy, case_of_entry(entry, headers), before, readable(entry.queue_id, 60))


def _headers(store: Opened, entry_id: str) -> "list[Header] | None":
    """The headers of an entry; None where they cannot be read."""
    try:
        with store.message(entry_id) as message:
            head, _ = head_and_body(iter(lambda: message.read(_CHUNK), b""))
            return parse_head(head)
    except (EntryError, StoreError) as error:
        complain(f"{error}; its headers are unknown")
        return None


def _text(found: Replay) -> Iterator[str]:
    total = found.same + found.changed + found.undecided
    refused = f" ({counted(found.refused, 'recipient')} refused before the message)" if found.refused else ""
    yield f"{counted(total, 'message')}{refused}: {found.same:,} as before, {found.changed:,} would change"
    for change, number in found.changes.most_common():
        before, after = change
        yield f"  {number:>8,}  {before.action} ({before.rule}) -> {after.action} ({after.rule})"
        yield f"            such as {', '.join(found.examples[change])}"
    if found.undecided:
        wanted = ", ".join(f"{name} ({number:,})" for name, number in found.missing.most_common())
        yield f"{counted(found.undecided, 'message')} cannot be decided, for want of: {wanted}"
    if found.left_out:
        yield f"{counted(found.left_out, 'message')} left out: decided by a list, a receipt or a failure"


def _fields(found: Replay) -> dict[str, object]:
    return {
        "same": found.same,
        "changed": found.changed,
        "undecided": found.undecided,
        "left_out": found.left_out,
        "refused_recipients": found.refused,
        "missing": dict(found.missing),
        "changes": [
            {
                "messages": number,
                "action": change.before.action,
                "rule": change.before.rule,
                "new_action": change.after.action,
                "new_rule": change.after.rule,
                "examples": found.examples[change],
            }
            for change, number in found.changes.most_common()
        ],
    }
