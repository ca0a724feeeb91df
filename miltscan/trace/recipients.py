"""What became of a message and of each recipient's copy of it, by the events of its path. It reads no file."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from miltscan.sandwich.logline import EventKind, LogEvent, addresses, decisions_in, entry_of, handoff_id, is_refused


class DeliveryStatus(StrEnum):
    """What became of a message, or of one recipient's copy of it; the worst first."""

    REJECTED = "rejected"
    TEMPFAILED = "tempfailed"
    FAILED = "failed"
    DEFERRED = "deferred"
    HELD = "held"
    QUARANTINED = "in the quarantine"
    UNKNOWN = "unknown"
    DISCARDED = "discarded"
    REDIRECTED = "redirected"
    HANDED_OVER = "handed over"  # to a host whose lines are not in these logs
    DELIVERED = "delivered"


_WORST_FIRST = list(DeliveryStatus)
_BY_ACTION = {
    "reject": DeliveryStatus.REJECTED,
    "tempfail": DeliveryStatus.TEMPFAILED,
    "discard": DeliveryStatus.DISCARDED,
    "hold": DeliveryStatus.HELD,
    "quarantine": DeliveryStatus.QUARANTINED,
}
_BY_DSN = {"2": DeliveryStatus.DELIVERED, "4": DeliveryStatus.DEFERRED, "5": DeliveryStatus.FAILED}
_BY_STAT = {
    "Sent": DeliveryStatus.DELIVERED,
    "Deferred": DeliveryStatus.DEFERRED,
    "queued": DeliveryStatus.DEFERRED,
    "quarantined": DeliveryStatus.HELD,
}
"""For a line without dsn=, as an attempt that only fills the queue, and all of sendmail 8.9."""
_BY_MILTER = {
    "discard": DeliveryStatus.DISCARDED,
    "tempfail": DeliveryStatus.TEMPFAILED,
    "reject": DeliveryStatus.REJECTED,
}
_GONE = {"discard", "redirect"}
"""Actions after which a recipient has no further line."""
_ATTEMPTS = {EventKind.DELIVERY, EventKind.QUARANTINE}
_OF_ENTRY = {
    "release_failed": DeliveryStatus.QUARANTINED,
    "entry_deleted": DeliveryStatus.DISCARDED,
    "held_deleted": DeliveryStatus.DISCARDED,
    "quarantine": DeliveryStatus.QUARANTINED,
    "discard": DeliveryStatus.DISCARDED,
    "redirect": DeliveryStatus.REDIRECTED,
}
"""What became of a recipient's copy, by the event of the quarantine or the action in miltscan's line."""
_MILTER_ACTION = re.compile(r"(?:milter=[^,=]+,(?: action=\w+,)?|Milter: (?:cmd=)?data,) (discard|tempfail|reject)")


@dataclass(frozen=True, slots=True)
class Recipient:
    """The last attempt for one recipient at the last sendmail that has the message.

    For a message in the quarantine each release is an attempt; before the first one `last` is miltscan's line.
    """

    address: str
    status: DeliveryStatus
    attempts: int
    last: LogEvent


def worst_status(statuses: Iterable[DeliveryStatus]) -> DeliveryStatus:
    """The status of a message whose recipients have these."""
    return min(statuses, key=_WORST_FIRST.index)


def recipients_of(events: Sequence[LogEvent], refusal: DeliveryStatus) -> Iterator[Recipient]:
    """Each recipient with its last attempt, and `refusal` for an attempt without a status code."""
    tried: dict[tuple[str | None, str], list[LogEvent]] = {}
    events = [*_with_decisions(events)]
    for event in events:
        named = addresses(event) if event.kind in _ATTEMPTS or is_kept(event) or is_refused(event) else []
        if event.get("event") == "decision" and event.get("action") in _GONE:
            named = addresses(event)
        if event.get("event") in {"entry_deleted", "held_deleted"}:  # it is final for those who have not received it
            named = [
                one for (queue_id, one), made in tried.items() if queue_id == event.queue_id and _waits(made, event)
            ]
        for address in named:
            tried.setdefault((event.queue_id, address), []).append(event)
    delivering = {event.queue_id for event in events if event.kind is EventKind.DELIVERY or is_kept(event)}
    released = {event.queue_id for event in events if event.text == "unquarantine"}
    for (queue_id, address), made in tried.items():
        handoff = handoff_id(made[-1])
        if handoff not in delivering:  # otherwise the next sendmail has later attempts
            status = DeliveryStatus.HANDED_OVER if handoff else _attempt_status(made[-1], refusal)
            if status is DeliveryStatus.DEFERRED and queue_id not in released and made[0].get("stat") == "quarantined":
                status = DeliveryStatus.HELD  # a release that failed: sendmail does not try again
            yield Recipient(address, status, sum(one.kind in _ATTEMPTS for one in made), made[-1])


def _with_decisions(events: Iterable[LogEvent]) -> Iterator[LogEvent]:
    """The events, each of miltscan followed by its decisions for groups of recipients."""
    for event in events:
        yield event
        yield from decisions_in(event)


def is_kept(event: LogEvent) -> bool:
    """Whether this is miltscan's line about a message of which the quarantine has a copy."""
    return event.kind is EventKind.SCAN and bool(entry_of(event))


def _waits(made: Sequence[LogEvent], deletion: LogEvent) -> bool:
    """Whether a recipient with these attempts had not received what was deleted."""
    last, entry = made[-1], entry_of(deletion)
    if entry and any(entry_of(one) not in {None, entry} for one in made):  # of an entry for others
        return False
    if last.kind is EventKind.DELIVERY:  # held by sendmail, perhaps after a release that failed
        return _attempt_status(last, DeliveryStatus.UNKNOWN) in {DeliveryStatus.HELD, DeliveryStatus.DEFERRED}
    return handoff_id(last) is None and last.get("action") != "redirect"


def kept_without_result(events: Sequence[LogEvent]) -> bool:
    """Whether the quarantine has recipients that no line names: a line names only the first ones."""
    kept = [_count(event) - len(addresses(event)) for event in _with_decisions(events) if is_kept(event)]
    gone = [_count(event) - len(addresses(event)) for event in events if event.get("event") == "released"]
    return sum(kept) > sum(gone)


def _count(event: LogEvent) -> int:
    value = event.fields.get("recipients_count")
    return value if isinstance(value, int) else 0


def _attempt_status(attempt: LogEvent, refusal: DeliveryStatus) -> DeliveryStatus:
    if is_refused(attempt):
        refused_later = (attempt.get("reply") or "").startswith("4")
        return DeliveryStatus.TEMPFAILED if refused_later else DeliveryStatus.REJECTED
    if attempt.get("event") == "decision" and entry_of(attempt):
        return DeliveryStatus.QUARANTINED
    if attempt.kind in {EventKind.SCAN, EventKind.QUARANTINE}:
        words = [attempt.get("event") or "", attempt.get("action") or ""]
        return next((_OF_ENTRY[word] for word in words if word in _OF_ENTRY), DeliveryStatus.UNKNOWN)
    if dsn := attempt.get("dsn"):
        return _BY_DSN.get(dsn[0], refusal)
    word = re.match(r"\w*", attempt.get("stat") or "")
    return _BY_STAT.get(word[0] if word else "", refusal)


def refusal_of(events: Sequence[LogEvent]) -> DeliveryStatus:
    """The reply at the final dot or before, for a message without any delivery attempt."""
    for event in events:
        if reply := event.get("reject"):
            return DeliveryStatus.TEMPFAILED if reply.startswith("4") else DeliveryStatus.REJECTED
        if event.get("status") == "tempfail" or event.text.endswith("temp failing commands"):
            return DeliveryStatus.TEMPFAILED
        if found := _MILTER_ACTION.fullmatch(event.text):
            return _BY_MILTER[found[1]]
        if event.text == "discarded" or (event.kind is EventKind.RULESET and event.text.endswith(", discard")):
            return DeliveryStatus.DISCARDED
        if event.kind is EventKind.SCAN and (status := _BY_ACTION.get(event.get("action") or "")):
            return status
    return DeliveryStatus.UNKNOWN
