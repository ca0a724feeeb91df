"""Puts the events of one message in order: by time as long as that agrees with cause and effect, else by these.

Clocks step back, summer time ends, two hosts disagree, and files are given in any order. But sendmail logs the envelope
before it asks a milter about the content (collect.c, eatheader), and tries to deliver after that. It raises `pri` in
each queue run (queue.c, readqf), and a queue ID does not exist before the line that made it. Lines with neither cause
nor effect stay in the order of reading.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush

from miltscan.sandwich.logline import EventKind, LogEvent
from miltscan.trace.links import Link, LinkKind, links

_ORDER_IN_A_SECOND = {EventKind.ENVELOPE: 0, EventKind.SCAN: 1} | dict.fromkeys(
    (EventKind.DELIVERY, EventKind.QUARANTINE, EventKind.OTHER), 3
)
_BEFORE_DELIVERY = {EventKind.ENVELOPE: 0, EventKind.SCAN: 1, EventKind.MILTER: 2}
_NO_TIME = datetime.min.replace(tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def ordered(path: Sequence[str], events: Mapping[str, Sequence[LogEvent]], accepted: Sequence[Link]) -> list[LogEvent]:
    """The events of all queue IDs of a path; `events` are in the order of reading."""
    rest = {queue_id: _of_one_id(events.get(queue_id, ())) for queue_id in path}
    gates, places = _gates(rest, accepted), {queue_id: place for place, queue_id in enumerate(path)}
    done = dict.fromkeys(path, 0)
    blocked = [one for one in path if rest[one]]
    heads: list[tuple[datetime, int, str]] = []  # of one second the first of the path comes first
    merged: list[LogEvent] = []
    while blocked or heads:
        free = [one for one in blocked if all(done[sender] >= least for sender, least in gates.get(one, ()))]
        for one in free or blocked[: not heads]:  # in a circle no queue ID is free
            blocked.remove(one)
            heappush(heads, (_second(rest[one][0]), places[one], one))
        _, place, following = heappop(heads)
        merged.append(rest[following][done[following]])
        done[following] += 1
        if done[following] < len(rest[following]):
            heappush(heads, (_second(rest[following][done[following]]), place, following))
    return merged


def _gates(own: Mapping[str, Sequence[LogEvent]], accepted: Sequence[Link]) -> dict[str, list[tuple[str, int]]]:
    """How many events of which sender come before the first one of each queue ID."""
    gates: dict[str, dict[str, int]] = {}
    chosen = frozenset(accepted)
    for queue_id, events in own.items():
        for position, event in enumerate(events):
            for link in links(event):
                if link.sender != queue_id or link not in chosen or not own.get(link.receiver):
                    continue
                meets = link.kind is LinkKind.HANDOFF and _may_precede(own[link.receiver][0], event)
                gates.setdefault(link.receiver, {}).setdefault(queue_id, position + (not meets))
    return {receiver: list(least.items()) for receiver, least in gates.items()}


def _may_precede(first: LogEvent, handoff: LogEvent) -> bool:
    """Whether the clocks of both sendmails agree: the next one logs the message before this one logs its reply."""
    if first.time is None or handoff.time is None:
        return False
    return _second(handoff) - _interval(handoff.get("xdelay") or "") - _SECOND <= _second(first)


def _of_one_id(events: Sequence[LogEvent]) -> list[LogEvent]:
    by_time = sorted(events, key=lambda event: (_second(event), _ORDER_IN_A_SECOND.get(event.kind, 2)))
    return by_time if _is_possible(by_time) else _by_cause(events)


def _is_possible(events: Sequence[LogEvent]) -> bool:
    """Whether no event comes before its cause."""
    scanned = delivering = False
    priority = 0
    for event in events:
        if event.time is None or (delivering and event.kind in _BEFORE_DELIVERY):
            return False
        if scanned and event.kind is EventKind.ENVELOPE:
            return False
        scanned = scanned or event.kind is EventKind.SCAN
        if event.kind is EventKind.DELIVERY:
            if _priority(event) < priority:
                return False
            delivering, priority = True, _priority(event)
    return True


def _by_cause(events: Sequence[LogEvent]) -> list[LogEvent]:
    """What happens before the delivery, then the attempts by `pri`, each with the lines that follow it in the log."""
    places, priority = [], 0
    for event in events:
        priority = _priority(event) if event.kind is EventKind.DELIVERY else priority
        before = _BEFORE_DELIVERY.get(event.kind)
        places.append((len(_BEFORE_DELIVERY), priority) if before is None else (before, 0))
    return [events[number] for number in sorted(range(len(events)), key=places.__getitem__)]


def _priority(event: LogEvent) -> int:
    value = event.get("pri") or ""
    return int(value[:20]) if value.isdecimal() else 0


def _second(event: LogEvent) -> datetime:
    """The time in whole seconds, as most logs have no more."""
    return event.time.astimezone(UTC).replace(microsecond=0) if event.time else _NO_TIME


def _interval(text: str) -> timedelta:
    """The duration of `[days+]hours:minutes:seconds`; none for any other text."""
    found = re.fullmatch(r"(?:(\d{1,4})\+)?(\d\d):(\d\d):(\d\d)", text, re.ASCII)
    days, hours, minutes, seconds = (int(one or 0) for one in found.groups()) if found else (0, 0, 0, 0)
    return timedelta(days, seconds, minutes=minutes, hours=hours)
