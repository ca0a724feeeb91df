"""Follows one message through the events of both sendmails and miltscan. It reads no file and prints nothing.

A message has a queue ID at each sendmail, and more for its copies; links.py has the lines that link them. sendmail
writes such a line after the first lines of the second queue ID, perhaps in another file, and a search may begin with
either queue ID. So the logs are read again as long as that finds new queue IDs: two or three times.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from json import dumps

from miltscan.sandwich.logforms import QUEUE_ID
from miltscan.sandwich.logline import LINE_LIMIT, EventKind, LogEvent, entries_of, parse_line
from miltscan.trace.links import Link, LinkKind, links
from miltscan.trace.order import ordered
from miltscan.trace.recipients import (
    DeliveryStatus,
    Recipient,
    kept_without_result,
    recipients_of,
    refusal_of,
    worst_status,
)

QUEUE_IDS_FOLLOWED = 100  # any number of messages may have the same Message-ID, by accident or by intent
EVENTS_KEPT = 5000  # for each queue ID
_A_SECOND = timedelta(seconds=1)
_ENTRY_ID = 20  # characters of an entry's ID, more than a queue ID has (queue.c: 8 and the digits of a process ID)
_MSGID_LOGGED = 100  # sendmail/headers.c, logsender: msgid=%.100s

Read = Callable[[Sequence[bytes]], Iterable[bytes]]
"""Reads all logs once and yields the lines that contain any of some texts."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One message: its queue IDs in the order of its path, its events as order.py sorts them.

    Notices are bounces and reports about it, which have queue IDs and recipients of their own.
    """

    queue_ids: tuple[str, ...]
    events: tuple[LogEvent, ...]
    recipients: tuple[Recipient, ...]
    status: DeliveryStatus
    notice_ids: tuple[str, ...] = ()
    notices: tuple[Recipient, ...] = ()

    def first(self, kind: EventKind) -> LogEvent | None:
        """The first event of a kind."""
        return next((event for event in self.events if event.kind is kind), None)

    @property
    def is_by_time(self) -> bool:
        """Whether no event is later than the next one; clocks may disagree by a second."""
        times = [event.time for event in self.events if event.time]
        return all(first <= second + _A_SECOND for first, second in pairwise(times))

    @property
    def message_id(self) -> str | None:
        """As a sendmail logged it, at most 100 characters; else as miltscan did."""
        named = ((self.first(EventKind.ENVELOPE), "msgid"), (self.first(EventKind.SCAN), "message_id"))
        return next((name for event, key in named if event and (name := event.get(key))), None)

    @property
    def entry(self) -> str | None:
        """The ID of its entry in the quarantine, the first one if it has several."""
        return next((name for event in self.events for name in entries_of(event)), None)


@dataclass(slots=True)
class _Search:
    """What is searched for, which grows while lines are read, and what one reading found."""

    message_ids: frozenset[str]
    queue_ids: dict[str, None]
    entry: str = ""
    full: bool = False
    events: dict[str, dict[object, LogEvent]] = field(default_factory=dict)
    links: dict[Link, None] = field(default_factory=dict)

    def texts(self) -> list[bytes]:
        """The texts of which every relevant line contains at least one."""
        names = [message_id[:40] for message_id in self.message_ids if not self.full]
        texts = [*dict.fromkeys((*names, *map(_in_json, names), *self.queue_ids))]
        # each text costs a pass over all logs: a name without its brackets is found with them as well
        least = [one for one in texts if not any(other in one for other in texts if other != one)]
        return [text.encode("utf-8", "surrogateescape") for text in least]

    def add(self, event: LogEvent) -> bool:
        """Keep an event that belongs to the message, and its queue IDs; whether it does."""
        here, found = event.queue_id, links(event)
        named = not self.full and not self.message_ids.isdisjoint({event.get("msgid"), event.get("message_id")})
        named = named or (bool(self.entry) and self.entry in entries_of(event))
        linked = {one for link in found for one in (link.sender, link.receiver)}
        if here is None or not (named or any(one in self.queue_ids for one in (here, *linked))):
            return False
        for queue_id in (here, *sorted(linked - {here})):
            self.full = self.full or len(self.queue_ids) >= QUEUE_IDS_FOLLOWED
            if not self.full:
                self.queue_ids[queue_id] = None
        if here in self.queue_ids:
            followed = (one for one in found if {one.sender, one.receiver} <= self.queue_ids.keys())
            self.links.update(dict.fromkeys(followed))
            kept = self.events.setdefault(here, {})
            if len(kept) < EVENTS_KEPT:
                # the same key for a line that is found twice, for instance in a file and in the journal
                second = event.time and event.time.astimezone(UTC).replace(microsecond=0)
                kept.setdefault((second, event.pid, event.text), event)
        return True

    def message_id(self, queue_id: str) -> str | None:
        """The Message-ID in the first envelope line of a queue ID."""
        events = self.events.get(queue_id, {}).values()
        return next((event.get("msgid") for event in events if event.kind is EventKind.ENVELOPE), None)


@dataclass(frozen=True, slots=True)
class TraceResult:
    """The messages that were found, and how many lines name the subject in an unknown form, with the first one."""

    traces: list[Trace]
    unknown: int
    example: bytes


def find(subject: str, read: Read, now: datetime) -> TraceResult:
    """The message with this queue ID at either sendmail or with this entry ID, or all with this Message-ID.

    A Message-ID may lack its brackets. `now` (aware) dates lines without a year.
    """
    by_id = QUEUE_ID.fullmatch(subject) is not None and len(subject) < _ENTRY_ID
    search = _Search(frozenset() if by_id else _spellings(subject), {subject: None} if by_id else {}, subject)
    name = subject.removeprefix("<").removesuffix(">")[:_MSGID_LOGGED].encode("utf-8", "surrogateescape")
    before, unknown, example = -1, 0, b""
    while len(search.queue_ids) != before:
        before = len(search.queue_ids)
        search.events, search.links, unknown = {}, {}, 0
        for line in read(search.texts()):
            if not search.add(parse_line(line, now)) and name in line:
                example = example or line[:LINE_LIMIT]
                unknown += 1
    traces = [_trace(path, search, accepted) for path, accepted in _paths(search) if not by_id or subject in path]
    return TraceResult([one for one in traces if one.entry == subject] or traces, unknown, example)


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


def _in_json(name: str) -> str:
    """The name in an object of a container's log, in which Docker escapes three characters more than JSON does."""
    return dumps(name)[1:-1].replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _paths(search: _Search) -> Iterator[tuple[list[str], list[Link]]]:
    """The queue IDs of each message in the order of its path, and the links between them."""
    accepted = _accepted(search)
    together = {queue_id: {queue_id} for queue_id in search.queue_ids if queue_id in search.events}
    for link in accepted:
        both = together.get(link.sender, {link.sender}) | together.get(link.receiver, {link.receiver})
        together.update(dict.fromkeys(both, both))
    for queue_id in search.queue_ids:
        if group := together.get(queue_id):
            yield _in_order(group, accepted), accepted
            together = {other: ids for other, ids in together.items() if other not in group}


def _accepted(search: _Search) -> list[Link]:
    """The links between queue IDs of one message: a server can answer with the queue ID of another one."""
    copies = {link.receiver: link.sender for link in search.links if link.kind is LinkKind.COPY}
    notices = {link.receiver for link in search.links if link.kind is LinkKind.NOTICE}

    def message_id(queue_id: str) -> str | None:
        seen: set[str] = set()
        while (own := search.message_id(queue_id)) is None and queue_id in copies and queue_id not in seen:
            seen.add(queue_id)
            queue_id = copies[queue_id]
        return own

    def is_same(link: Link) -> bool:
        here, there = message_id(link.sender), search.message_id(link.receiver)
        if link.kind is not LinkKind.HANDOFF:  # a copy or notice is not received: it has no envelope line
            return there is None
        if link.sender in notices and there is not None:  # sendmail makes its Message-ID from its queue ID
            return link.sender in there
        return None in {here, there} or here == there

    return [link for link in search.links if is_same(link)]


def _in_order(group: set[str], accepted: Sequence[Link]) -> list[str]:
    """Each queue ID after those that it came from; a circle in alphabetical order."""
    order: list[str] = []
    rest = sorted(group)
    while rest:
        ready = [one for one in rest if not any(link.sender in rest for link in accepted if link.receiver == one)]
        order += ready or rest[:1]
        rest = [one for one in rest if one not in order]
    return order


def _trace(path: Sequence[str], search: _Search, accepted: Sequence[Link]) -> Trace:
    read = {queue_id: [*search.events.get(queue_id, {}).values()] for queue_id in path}
    events = tuple(ordered(path, read, accepted))
    notice_ids = _notices(path, accepted)
    own = [event for event in events if event.queue_id not in notice_ids]
    refusal = refusal_of(own)
    recipients = tuple(recipients_of(own, refusal))
    statuses = [one.status for one in recipients] or [refusal]
    if _copies_without_result(path, own, accepted) or kept_without_result(own):
        statuses.append(DeliveryStatus.UNKNOWN)
    return Trace(
        tuple(one for one in path if one not in notice_ids),
        events,
        recipients,
        worst_status(statuses),
        tuple(one for one in path if one in notice_ids),
        tuple(recipients_of([event for event in events if event.queue_id in notice_ids], DeliveryStatus.UNKNOWN)),
    )


def _copies_without_result(path: Sequence[str], events: Sequence[LogEvent], accepted: Sequence[Link]) -> set[str]:
    """The queue IDs of copies that were never tried, whose recipients no line names; sendmail waits for a queue run."""
    copies = [link for link in accepted if link.kind is LinkKind.COPY and link.receiver in path]
    tried = {event.queue_id for event in events if event.kind is EventKind.DELIVERY}
    return {link.receiver for link in copies} - tried - {link.sender for link in copies}


def _notices(path: Sequence[str], accepted: Sequence[Link]) -> set[str]:
    """The queue IDs of notices, at this sendmail and at those after it."""
    notices: set[str] = set()
    for queue_id in path:
        for link in accepted:
            if link.receiver == queue_id and (link.kind is LinkKind.NOTICE or link.sender in notices):
                notices.add(queue_id)
    return notices
