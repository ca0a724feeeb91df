"""Follows one message through the events of both sendmails and miltscan. It reads no file and prints nothing.

A message has a queue ID at each sendmail. The first one's line `stat=Sent (QUEUE_ID Message accepted ...)` links them.
sendmail writes that line after the first lines of the second queue ID, perhaps in another file, and a search may begin
with either queue ID. So the logs are read again as long as that finds new queue IDs: two or three times.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from miltscan.sandwich.logline import QUEUE_ID, EventKind, LogEvent, addresses, handoff_id, parse_line

QUEUE_IDS_FOLLOWED = 100  # any number of messages may have the same Message-ID, by accident or by intent
EVENTS_KEPT = 5000  # for each queue ID
_MSGID_LOGGED = 100  # sendmail/headers.c, logsender: msgid=%.100s

Read = Callable[[Sequence[bytes]], Iterable[bytes]]
"""Reads all logs once and yields the lines that contain any of some texts."""


class DeliveryStatus(StrEnum):
    """What became of a message, or of one recipient's copy of it; the worst first."""

    REJECTED = "rejected"
    TEMPFAILED = "tempfailed"
    FAILED = "failed"
    DEFERRED = "deferred"
    HELD = "held"
    UNKNOWN = "unknown"
    DISCARDED = "discarded"
    HANDED_OVER = "handed over"  # to a host whose lines are not in these logs
    DELIVERED = "delivered"


_WORST_FIRST = list(DeliveryStatus)
_BY_ACTION = {
    "reject": DeliveryStatus.REJECTED,
    "tempfail": DeliveryStatus.TEMPFAILED,
    "discard": DeliveryStatus.DISCARDED,
    "hold": DeliveryStatus.HELD,
}
_BY_DSN = {"2": DeliveryStatus.DELIVERED, "4": DeliveryStatus.DEFERRED, "5": DeliveryStatus.FAILED}
_ORDER_IN_A_SECOND = {EventKind.ENVELOPE: 0, EventKind.SCAN: 1, EventKind.DELIVERY: 3, EventKind.OTHER: 3}


@dataclass(frozen=True, slots=True)
class Recipient:
    """The last attempt for one recipient at the last sendmail that has the message."""

    address: str
    status: DeliveryStatus
    attempts: int
    last: LogEvent


@dataclass(frozen=True, slots=True)
class Trace:
    """One message: its queue IDs in the order of its path, its events in the order of time."""

    queue_ids: tuple[str, ...]
    events: tuple[LogEvent, ...]
    recipients: tuple[Recipient, ...]
    status: DeliveryStatus

    def first(self, kind: EventKind) -> LogEvent | None:
        """The first event of a kind."""
        return next((event for event in self.events if event.kind is kind), None)

    @property
    def message_id(self) -> str | None:
        """As a sendmail logged it, at most 100 characters; else as miltscan did."""
        named = ((self.first(EventKind.ENVELOPE), "msgid"), (self.first(EventKind.SCAN), "message_id"))
        return next((name for event, key in named if event and (name := event.get(key))), None)


@dataclass(slots=True)
class _Search:
    """What is searched for, which grows while lines are read, and what one reading found."""

    message_ids: frozenset[str]
    queue_ids: dict[str, None]
    full: bool = False
    events: dict[str, dict[object, LogEvent]] = field(default_factory=dict)
    links: dict[tuple[str, str], None] = field(default_factory=dict)

    def texts(self) -> list[bytes]:
        """The texts of which every relevant line contains at least one."""
        names = [message_id[:40] for message_id in self.message_ids if not self.full]
        return [text.encode("utf-8", "surrogateescape") for text in (*names, *self.queue_ids)]

    def add(self, event: LogEvent) -> None:
        """Keep an event that belongs to the message, and its queue IDs."""
        here, link = event.queue_id, _link(event)
        found = (here, *(link or ()))
        named = not self.full and {event.get("msgid"), event.get("message_id")} & self.message_ids
        if here is None or not (named or any(queue_id in self.queue_ids for queue_id in found)):
            return
        for queue_id in (here, *(link or ())):
            self.full = self.full or len(self.queue_ids) >= QUEUE_IDS_FOLLOWED
            if not self.full:
                self.queue_ids[queue_id] = None
        if here not in self.queue_ids:
            return
        if link:
            self.links[link] = None
        kept = self.events.setdefault(here, {})
        if len(kept) < EVENTS_KEPT:
            # the same key for a line that is found twice, for instance in a file and in the journal
            second = event.time and event.time.astimezone(UTC).replace(microsecond=0)
            kept.setdefault((second, event.pid, event.text), event)

    def message_id(self, queue_id: str) -> str | None:
        """The Message-ID in the first envelope line of a queue ID."""
        events = self.events.get(queue_id, {}).values()
        return next((event.get("msgid") for event in events if event.kind is EventKind.ENVELOPE), None)


def follow(subject: str, read: Read, now: datetime) -> list[Trace]:
    """The messages that `subject` names: the one with this queue ID at either sendmail, or all with this Message-ID.

    A Message-ID may lack its brackets. `now` (aware) dates lines without a year. An empty list means: not in the logs.
    """
    by_id = QUEUE_ID.fullmatch(subject) is not None
    search = _Search(frozenset() if by_id else _spellings(subject), {subject: None} if by_id else {})
    before = -1
    while len(search.queue_ids) != before:
        before = len(search.queue_ids)
        search.events, search.links = {}, {}
        for line in read(search.texts()):
            search.add(parse_line(line, now))
    return [_trace(path, search) for path in _paths(search) if not by_id or subject in path]


def _spellings(message_id: str) -> frozenset[str]:
    """The forms of a Message-ID in a log: whole, cut, and with sendmail's octal escapes for non-ASCII characters."""
    bare = message_id.removeprefix("<").removesuffix(">")
    whole = [bare, f"<{bare}>"]
    escaped = [
        "".join(
            character
            if character.isascii()
            else "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))
            for character in one
        )
        for one in whole
    ]
    return frozenset([*whole, *(one[:_MSGID_LOGGED] for one in escaped)])


def _link(event: LogEvent) -> tuple[str, str] | None:
    """The two queue IDs between which this event hands the message over."""
    if event.queue_id and (following := handoff_id(event)):
        return event.queue_id, following
    words = event.text.split(maxsplit=2)  # QUEUE_ID: clone OTHER, owner=...: an alias with an owner
    if event.queue_id and len(words) > 1 and words[0] == "clone" and QUEUE_ID.fullmatch(words[1].rstrip(",")):
        return words[1].rstrip(","), event.queue_id
    return None


def _paths(search: _Search) -> list[list[str]]:
    """The queue IDs of each message, in the order of its path."""
    links = []
    for sender, receiver in search.links:
        # a remote server can answer with one of our queue IDs, but that message has another Message-ID
        ids = search.message_id(sender), search.message_id(receiver)
        if None in ids or ids[0] == ids[1]:
            links.append((sender, receiver))
    together = {queue_id: {queue_id} for queue_id in search.queue_ids if queue_id in search.events}
    for sender, receiver in links:
        both = together.get(sender, {sender}) | together.get(receiver, {receiver})
        together.update(dict.fromkeys(both, both))
    paths = []
    for queue_id in search.queue_ids:
        if group := together.get(queue_id):
            paths.append(_in_order(group, links))
            together = {other: ids for other, ids in together.items() if other not in group}
    return paths


def _in_order(group: set[str], links: Sequence[tuple[str, str]]) -> list[str]:
    """Each queue ID after those that it came from; a circle in alphabetical order."""
    order: list[str] = []
    rest = sorted(group)
    while rest:
        ready = [one for one in rest if not any(sender in rest for sender, receiver in links if receiver == one)]
        order += ready or rest[:1]
        rest = [one for one in rest if one not in order]
    return order


def _trace(path: Sequence[str], search: _Search) -> Trace:
    """The events of one path, sorted by whole seconds, as most logs have no more, and then along the path."""

    def place(event: LogEvent) -> tuple[datetime, int, int]:
        time = event.time.astimezone(UTC) if event.time else datetime.min.replace(tzinfo=UTC)
        stage = _ORDER_IN_A_SECOND.get(event.kind, 2)
        return time.replace(microsecond=0), path.index(event.queue_id or path[0]), stage

    found = (event for queue_id in path for event in search.events.get(queue_id, {}).values())
    events = tuple(sorted(found, key=place))
    refusal = _refusal(events)
    recipients = tuple(_recipients(events, refusal))
    statuses = [one.status for one in recipients] or [refusal]
    return Trace(tuple(path), events, recipients, min(statuses, key=_WORST_FIRST.index))


def _recipients(events: Sequence[LogEvent], refusal: DeliveryStatus) -> Iterator[Recipient]:
    """Each recipient with its last attempt, and `refusal` for an attempt without a status code."""
    tried: dict[tuple[str | None, str], list[LogEvent]] = {}
    attempts = [event for event in events if event.kind is EventKind.DELIVERY]
    for event in attempts:
        for address in addresses(event):
            tried.setdefault((event.queue_id, address), []).append(event)
    delivering = {event.queue_id for event in attempts}
    for (_, address), made in tried.items():
        handoff, dsn = handoff_id(made[-1]), (made[-1].get("dsn") or "")[:1]
        if handoff not in delivering:  # otherwise the next sendmail has later attempts
            status = DeliveryStatus.HANDED_OVER if handoff else _BY_DSN.get(dsn, refusal)
            yield Recipient(address, status, len(made), made[-1])


def _refusal(events: Sequence[LogEvent]) -> DeliveryStatus:
    """The reply at the final dot or before, for a message without any delivery attempt."""
    for event in events:
        if reply := event.get("reject"):
            return DeliveryStatus.TEMPFAILED if reply.startswith("4") else DeliveryStatus.REJECTED
        if event.get("status") == "tempfail" or event.text.endswith("temp failing commands"):
            return DeliveryStatus.TEMPFAILED
        if event.kind is EventKind.SCAN and (status := _BY_ACTION.get(event.get("action") or "")):
            return status
    return DeliveryStatus.UNKNOWN
