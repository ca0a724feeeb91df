"""A message that miltscan has logged: found as `trace` finds it, and what an entry of the allow list would change."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from miltscan.commands.tables import facts
from miltscan.config.settings import Settings
from miltscan.core.action import Decision
from miltscan.core.lists import Consultation, ListEntry, Lists, described
from miltscan.core.message import NO_CONTENT, Client, Direction, Envelope, Message
from miltscan.core.policy import decide, status
from miltscan.core.text import readable
from miltscan.core.verdict import Verdict
from miltscan.errors import ListError
from miltscan.sandwich.logfiles import Logs
from miltscan.sandwich.logline import LogEvent, addresses
from miltscan.scanning.assemble import policy_for
from miltscan.trace.follow import find

_CUT = "…"  # a text that the log has shortened


class LoggedMessage(NamedTuple):
    """What the log line of a message says; `message` has its envelope, and neither headers nor content."""

    message: Message
    signature: str
    engine: str
    rule: str
    result: str
    time: str

    @property
    def sender(self) -> str:
        """The sender as an entry names it."""
        return self.message.envelope.sender.decode("utf-8", "backslashreplace") or "<>"


def logged_message(queue_id: str, logs: Logs) -> LoggedMessage:
    """The message with this queue ID, in which an engine has found something. Raises ListError."""
    shown = readable(queue_id, 60)
    found = find(queue_id, logs.matching, datetime.now().astimezone())
    scans = [one for trace in found.traces for one in trace.events if one.get("event") == "message"]
    if not scans:
        raise ListError(f"{shown}: no line of miltscan about this message in {logs}; to read another log, use --log")
    detected = [one for one in scans if one.get("signature")]
    if not detected:
        last = scans[-1]
        why = f"{last.get('outcome')}{f' ({reason})' if (reason := last.get('reason')) else ''}"
        raise ListError(f"{shown}: nothing was detected in this message: outcome {why}, rule {last.get('rule')}")
    event = detected[-1]
    if any(_CUT in (event.get(name) or "") for name in ("signature", "sender")):
        raise ListError(f"{shown}: the log has shortened its signature or sender; name the signature itself")
    return _logged(event)


def _logged(event: LogEvent) -> LoggedMessage:
    client = Client(event.get("client_name") or "unknown", event.get("client_address") or "unknown")
    recipients = tuple(one.encode() for one in addresses(event))
    authenticated = event.get("direction") == Direction.SUBMISSION
    envelope = Envelope((event.get("sender") or "").encode(), recipients, authenticated)
    message_id = (event.get("message_id") or "").encode()
    message = Message(client, envelope, event.queue_id or "", message_id, (), 0, NO_CONTENT)
    time = f"{event.time.astimezone():%Y-%m-%d %H:%M:%S}" if event.time else ""
    result = event.get("reply") or event.get("action") or ""
    engines = event.fields.get("engines")
    engine = engines[-1].get("engine") if isinstance(engines, list) and isinstance(engines[-1], dict) else "engine"
    return LoggedMessage(message, event.get("signature") or "", str(engine), event.get("rule") or "", result, time)


def preview(settings: Settings, found: LoggedMessage, entry: ListEntry, width: int) -> Iterator[str]:
    """The message, and what the entry would have changed. Raises ListError if that is nothing."""
    verdict = Verdict.infected(found.engine, found.signature)
    consulted = Consultation(Lists((replace(entry, id="new"),)), found.message, entry.added, lambda: "")
    allowed = consulted.allowed(verdict)
    if allowed is verdict:
        raise ListError(f"{found.message.queue_id}: {described(entry)} does not match this message; nothing was added")
    decision = decide(policy_for(settings, ""), found.message, allowed, (allowed,))
    yield f"Message {found.message.queue_id}"
    yield from facts(
        (
            ("time", found.time),
            ("client", f"{found.message.client.name} [{found.message.client.address}]"),
            ("sender", found.sender),
            ("recipients", ", ".join(one.decode() for one in found.message.envelope.recipients)),
            ("verdict", status(verdict)),
            ("result", f"{found.result}, by {found.rule}"),
        ),
        width,
    )
    yield "With this entry"
    yield from facts(
        (("entry", f"allow {described(entry)}"), ("verdict", status(allowed)), ("result", _result(decision))), width
    )


def _result(decision: Decision) -> str:
    return f"{decision.reply or decision.action.name}, by {decision.rule}"
