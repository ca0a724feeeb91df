"""A message that miltscan has logged: found as `trace` finds it, and what an entry of the allow list would change."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from miltscan.commands.lists_common import lists_now
from miltscan.commands.policy_case import case_of_line, week_time_of
from miltscan.commands.tables import facts
from miltscan.config.settings import Settings
from miltscan.core.explained import Case, Explained, consult_lists, explained
from miltscan.core.lists import ListEntry, Lists, described
from miltscan.core.reply_text import status
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.errors import ListError
from miltscan.sandwich.logfiles import Logs
from miltscan.sandwich.logline import LogEvent, addresses
from miltscan.scanning.assemble import list_scope, ruled_policy
from miltscan.trace.follow import find

_CUT = "…"  # a text that the log has shortened


class LoggedMessage(NamedTuple):
    """A message by its line in the log: it has neither headers nor content."""

    queue_id: str
    event: LogEvent

    @property
    def signature(self) -> str:
        """What was detected; empty for spam."""
        return self.event.get("signature") or ""

    @property
    def sender(self) -> str:
        """The sender as an entry names it."""
        return self.event.get("sender") or "<>"


def logged_message(queue_id: str, logs: Logs) -> LoggedMessage:
    """The message with this queue ID, which an engine found infected or spam. Raises ListError."""
    shown = readable(queue_id, 60)
    found = find(queue_id, logs.matching, datetime.now().astimezone())
    scans = [one for trace in found.traces for one in trace.events if one.get("event") == "message"]
    if not scans:
        raise ListError(f"{shown}: no line of miltscan about this message in {logs}; to read another log, use --log")
    detected = [one for one in scans if one.get("signature") or one.get("outcome") == Outcome.SPAM]
    if not detected:
        last = scans[-1]
        why = f"{last.get('outcome')}{f' ({reason})' if (reason := last.get('reason')) else ''}"
        raise ListError(f"{shown}: nothing was detected in this message: outcome {why}, rule {last.get('rule')}")
    event = detected[-1]
    if any(_CUT in (event.get(name) or "") for name in ("signature", "sender")):
        raise ListError(f"{shown}: the log has shortened its signature or sender; name the signature itself")
    return LoggedMessage(shown, event)


def preview(settings: Settings, found: LoggedMessage, entry: ListEntry, width: int) -> Iterator[str]:
    """The message, and what is decided with the entry. Raises ListError if it changes nothing, and MiltscanError."""
    event = found.event
    policy = ruled_policy(settings, socket.gethostname())
    now = week_time_of(event.time or datetime.now().astimezone())
    case = case_of_line(event, now, policy.rules.headers)
    lists, scope = lists_now(settings), list_scope(settings, verifies=False)
    before = consult_lists(policy, case, lists, entry.added, scope)
    new = Lists((*lists.entries, replace(entry, id="new")))
    after = consult_lists(policy, case, new, entry.added, scope)
    if after.standings == before.standings:
        raise ListError(f"{found.queue_id}: {described(entry)} changes nothing for this message; nothing was added")
    yield f"Message {found.queue_id}"
    yield from facts(
        (
            ("time", f"{event.time.astimezone():%Y-%m-%d %H:%M:%S}" if event.time else ""),
            ("client", f"{case.message.client.name} [{case.message.client.address}]"),
            ("sender", found.sender),
            ("recipients", ", ".join(addresses(event))),
            ("verdict", _verdict(before.case)),
            ("result", f"{event.get('reply') or event.get('action') or ''}, by {event.get('rule')}"),
        ),
        width,
    )
    yield "With this entry"
    yield from facts(
        (
            ("entry", f"allow {described(entry)}"),
            ("verdict", _verdict(after.case)),
            *(("result", one) for one in dict.fromkeys(map(_result, explained(policy, after)))),
        ),
        width,
    )


def _verdict(case: Case) -> str:
    if any(one.outcome is Outcome.SPAM for one in case.verdicts):
        return "Spam"
    return ", ".join(dict.fromkeys(map(status, case.verdicts))) or "unknown"


def _result(found: Explained) -> str:
    decision = found.decision
    if decision is None:
        return f"depends on {', '.join(found.needs)}, which the log does not have"
    return f"{decision.reply or decision.action.name}, by {decision.rule}"
