"""Follows one message through the events of both sendmails and miltscan; reads no file and prints nothing.

A message has a queue ID at each sendmail. They are linked by what the first of two logs, `stat=Sent (QUEUE_ID Message
accepted ...)`; that line is written after the first ones of the second's queue ID, in another file perhaps, and a
search may begin at either end. So the logs are read again as long as that brings new queue IDs: two or three times.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from miltscan.sandwich.logline import QUEUE_ID, EventKind, LogEvent, addresses, handoff_id, parse_line

QUEUE_IDS_FOLLOWED = 100  # a Message-ID may be on any number of messages, a hostile one on very many
EVENTS_KEPT = 5000  # of one queue ID
_MSGID_LOGGED = 100  # sendmail/headers.c, logsender: msgid=%.100s

Read = Callable[[Sequence[bytes]], Iterable[bytes]]
"""One reading of all logs, the lines in which any of some texts stands."""


class DeliveryStatus(StrEnum):
    """What became of a message, or of one recipient's copy of it."""

    DELIVERED = "delivered"
    HANDED_OVER = "handed over"  # to a host whose lines are not in these logs
    DEFERRED = "deferred"
    FAILED = "failed"
    REJECTED = "rejected"
    TEMPFAILED = "tempfailed"
    DISCARDED = "discarded"
    HELD = "held"
    UNKNOWN = "unknown"


_WORST_FIRST = (
    *(
        DeliveryStatus.REJECTED,
        DeliveryStatus.TEMPFAILED,
        DeliveryStatus.FAILED,
        DeliveryStatus.DEFERRED,
        DeliveryStatus.HELD,
    ),
    *(DeliveryStatus.UNKNOWN, DeliveryStatus.DISCARDED, DeliveryStatus.HANDED_OVER, DeliveryStatus.DELIVERED),
)
_BY_ACTION = {
    "reject": DeliveryStatus.REJECTED,
    "tempfail": DeliveryStatus.TEMPFAILED,
    "discard": DeliveryStatus.DISCARDED,
    "hold": DeliveryStatus.HELD,
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """The last attempt for one recipient at the last sendmail that has it."""

    address: str
    status: DeliveryStatus
    attempts: int
    last: LogEvent


@dataclass(frozen=True, slots=True)
class Trace:
    """One message: its queue IDs in the order of its way, its events in the order of time."""

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
    """What is looked for, which grows while lines are read, and what one reading found."""

    message_ids: frozenset[str]
    queue_ids: dict[str, None]
    full: bool = False
    events: dict[str, dict[object, LogEvent]] = field(default_factory=dict)
    links: dict[tuple[str, str], None] = field(default_factory=dict)

    def texts(self) -> list[bytes]:
        """One of these stands in every line that can matter."""
        names = [message_id[:40] for message_id in self.message_ids if not self.full]
        return [text.encode("utf-8", "surrogateescape") for text in (*names, *self.queue_ids)]

    def take(self, event: LogEvent) -> None:
        """Keeps an event that belongs to the message, and its queue IDs."""
        here, link = event.queue_id, _link(event)
        if here is None or not (self._known(here, *(link or ())) or self._named(event)):
            return
        for queue_id in (here, *(link or ())):
            self._want(queue_id)
        if here not in self.queue_ids:
            return
        if link:
            self.links[link] = None
        kept = self.events.setdefault(here, {})
        if len(kept) < EVENTS_KEPT:
            kept.setdefault(_identity(event), event)

    def _known(self, *queue_ids: str) -> bool:
        return any(queue_id in self.queue_ids for queue_id in queue_ids)

    def _named(self, event: LogEvent) -> bool:
        return not self.full and bool({event.get("msgid"), event.get("message_id")} & self.message_ids)

    def _want(self, queue_id: str) -> None:
        self.full = self.full or len(self.queue_ids) >= QUEUE_IDS_FOLLOWED
        if not self.full:
            self.queue_ids[queue_id] = None


def follow(subject: str, read: Read, now: datetime) -> list[Trace]:
    """The messages that `subject` names: the one with this queue ID at either sendmail, or all with this Message-ID.

    A Message-ID may be without its brackets. `now` (aware) dates lines without a year. An empty list: not in the logs.
    """
    by_id = QUEUE_ID.fullmatch(subject) is not None
    search = _Search(frozenset() if by_id else _spellings(subject), {subject: None} if by_id else {})
    before = -1
    while len(search.queue_ids) != before:
        before = len(search.queue_ids)
        search.events, search.links = {}, {}
        for line in read(search.texts()):
            search.take(parse_line(line, now))
    ways = _ways(search)
    return [_trace(way, search) for way in ways if not by_id or subject in way]


def _spellings(message_id: str) -> frozenset[str]:
    """How a Message-ID may stand in a log: whole, cut, with sendmail's octal escapes for what is not ASCII."""
    bare = message_id.removeprefix("<").removesuffix(">")
    whole = [bare, f"<{bare}>"]
    escaped = ["".join(map(_octal, one)) for one in whole]
    return frozenset([*whole, *(one[:_MSGID_LOGGED] for one in escaped)])


def _octal(character: str) -> str:
    if character.isascii():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def _link(event: LogEvent) -> tuple[str, str] | None:
    """From which queue ID to which one the message goes by this event."""
    if event.queue_id and (following := handoff_id(event)):
        return event.queue_id, following
    words = event.text.split(maxsplit=2)  # QUEUE_ID: clone OTHER, owner=...: an alias with an owner
    if event.queue_id and len(words) > 1 and words[0] == "clone" and QUEUE_ID.fullmatch(words[1].rstrip(",")):
        return words[1].rstrip(","), event.queue_id
    return None


def _identity(event: LogEvent) -> object:
    """The same for a line that is found in two places, for instance in a file and in the journal."""
    second = event.time and event.time.astimezone(UTC).replace(microsecond=0)
    return second, event.pid, event.text


def _ways(search: _Search) -> list[list[str]]:
    """The queue IDs of each message, along its way."""
    links = [link for link in search.links if _same_message(*link, search)]
    together = {queue_id: {queue_id} for queue_id in search.queue_ids if queue_id in search.events}
    for sender, receiver in links:
        both = together.get(sender, {sender}) | together.get(receiver, {receiver})
        together.update(dict.fromkeys(both, both))
    ways = []
    for queue_id in search.queue_ids:
        if group := together.get(queue_id):
            ways.append(_in_order(group, links))
            together = {other: ids for other, ids in together.items() if other not in group}
    return ways


def _same_message(sender: str, receiver: str, search: _Search) -> bool:
    """A far server can answer with a queue ID of ours: its message has another Message-ID."""
    ids = [
        next(
            (event.get("msgid") for event in search.events.get(one, {}).values() if event.kind is EventKind.ENVELOPE),
            None,
        )
        for one in (sender, receiver)
    ]
    return None in ids or ids[0] == ids[1]


def _in_order(group: set[str], links: Sequence[tuple[str, str]]) -> list[str]:
    """Each queue ID after those it came from; what goes round in a circle in the order of the alphabet."""
    order: list[str] = []
    rest = sorted(group)
    while rest:
        ready = [one for one in rest if not any(sender in rest for sender, receiver in links if receiver == one)]
        order += ready or rest[:1]
        rest = [one for one in rest if one not in order]
    return order


def _trace(way: Sequence[str], search: _Search) -> Trace:
    found = [event for queue_id in way for event in search.events.get(queue_id, {}).values()]
    events = tuple(sorted(found, key=lambda event: _when(event, way)))
    refusal = _refusal(events)
    recipients = tuple(_recipients(events, refusal))
    statuses = [one.status for one in recipients] or [refusal]
    return Trace(tuple(way), events, recipients, min(statuses, key=_WORST_FIRST.index))


def _when(event: LogEvent, way: Sequence[str]) -> tuple[datetime, int, int]:
    """Sorts by whole seconds, as most logs have no more, and within a second along the message's way."""
    time = event.time.astimezone(UTC) if event.time else datetime.min.replace(tzinfo=UTC)
    stages = {EventKind.ENVELOPE: 0, EventKind.SCAN: 1, EventKind.DELIVERY: 3, EventKind.OTHER: 3}
    return time.replace(microsecond=0), way.index(event.queue_id or way[0]), stages.get(event.kind, 2)


def _recipients(events: Sequence[LogEvent], refusal: DeliveryStatus) -> Iterator[Recipient]:
    tried: dict[tuple[str | None, str], list[LogEvent]] = {}
    attempts = [event for event in events if event.kind is EventKind.DELIVERY]
    at_work = {event.queue_id for event in attempts}
    for event in attempts:
        for address in addresses(event):
            tried.setdefault((event.queue_id, address), []).append(event)
    for (_, address), made in tried.items():
        if handoff_id(made[-1]) not in at_work:  # else the next one tells more
            yield Recipient(address, _attempt_status(made[-1], refusal), len(made), made[-1])


def _attempt_status(event: LogEvent, refusal: DeliveryStatus) -> DeliveryStatus:
    if handoff_id(event):
        return DeliveryStatus.HANDED_OVER
    by_class = {"2": DeliveryStatus.DELIVERED, "4": DeliveryStatus.DEFERRED, "5": DeliveryStatus.FAILED}
    return by_class.get((event.get("dsn") or "")[:1], refusal)


def _refusal(events: Sequence[LogEvent]) -> DeliveryStatus:
    """What was said at the final dot or before, of a message of which no copy was ever tried."""
    for event in events:
        if reply := event.get("reject"):
            return DeliveryStatus.TEMPFAILED if reply.startswith("4") else DeliveryStatus.REJECTED
        if event.get("status") == "tempfail" or event.text.endswith("temp failing commands"):
            return DeliveryStatus.TEMPFAILED
        if event.kind is EventKind.SCAN and (status := _BY_ACTION.get(event.get("action") or "")):
            return status
    return DeliveryStatus.UNKNOWN
