"""Entries of the quarantine for a person (lines of a terminal) and for a program (fields of JSON); prints nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from miltscan.commands.tables import Column, counted, facts, fit, size_text, table, time_text, wrapped
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.quarantine.entry import Entry, Event, Standing, State, shown_address

if TYPE_CHECKING:
    from miltscan.quarantine.index import AreaTotals, StateTotals
    from miltscan.quarantine.tables import Row

_SHOWN = 20  # recipients
_INDENT = "  "
_NAMES = {"author": "from"}
"""The fields of JSON that have another name than in the index: that of the header field."""
_DEEDS: Mapping[State | None, str] = {
    State.STORED: "not released",  # the state to which a release that failed returns
    State.CLEARED: "not released",
    State.RELEASING: "release begins",
    State.RELEASED: "released",
    State.DELETED: "deleted",
}


def entry_text(standing: Standing, expires: float | None, width: int) -> Iterator[str]:
    """All that is known of an entry, in lines of at most `width` columns; `expires` is when it is deleted (epoch)."""
    entry = standing.entry
    yield entry.id
    yield from facts(_facts(standing, expires), width)
    yield ""
    yield from _recipients(standing, width)
    yield ""
    yield "History:"
    yield from _history(standing, width)
    yield ""
    yield from next_step(standing)


def _facts(standing: Standing, expires: float | None) -> Iterator[tuple[str, str]]:
    entry = standing.entry
    outcome, signature, signatures = standing.scan
    found = _found(entry.outcome, entry.reason, entry.signature)
    version = f", signatures {entry.signatures}" if entry.signatures else ""
    yield "state", str(standing.state)
    yield "received", time_text(entry.time, seconds=True)
    yield "detected", f"{found} ({entry.engine}{version})" if entry.engine else found
    if (outcome, signature, signatures) != (entry.outcome, entry.signature, entry.signatures):
        yield "last scan", f"{signature or outcome}" + (f" (signatures {signatures})" if signatures else "")
    yield "action", f"{entry.action}, by rule {entry.rule}"
    until = f", deleted after {time_text(expires)}" if expires else ""
    yield "area", f"{entry.area}{until}"
    yield "from", entry.author
    yield "subject", entry.subject
    yield "sender", shown_address(entry.sender) or "<>"
    yield "client", f"{entry.client_name} [{entry.client_address}], {entry.direction}"
    yield "queue ID", entry.queue_id
    yield "Message-ID", readable(entry.message_id)
    kept = f", kept as {size_text(entry.kept_size)} ({', '.join(entry.encoding)})" if entry.encoding else ""
    yield "size", f"{size_text(entry.size)}{kept}"
    yield "SHA-256", entry.digest


def _recipients(standing: Standing, width: int) -> Iterator[str]:
    """The first recipients with their states, and the states of the others by number."""
    states = standing.states
    queue_ids = {one: event.queue_id for event in standing.events if not event.to for one in event.recipients}
    rows = [
        [state, queue_ids.get(one, "") if state is State.RELEASED else "", shown_address(one)]
        for one, state in islice(states.items(), _SHOWN)
    ]
    columns = [Column("STATE"), Column("QUEUE ID"), Column("RECIPIENT")]
    if not any(queue_id for _, queue_id, _ in rows):
        columns, rows = [columns[0], columns[2]], [[state, one] for state, _, one in rows]
    yield from table(columns, rows, width)
    if others := Counter(islice(states.values(), _SHOWN, None)):
        known = ", ".join(f"{number:,} {state}" for state, number in others.items())
        yield f"and {counted(others.total(), 'more recipient')}: {known} (--json lists all)"


def _history(standing: Standing, width: int) -> Iterator[str]:
    """When what happened, by whom, and why."""
    kept = "kept" if standing.entry.action == "quarantine" else f"kept a copy, {standing.entry.action}"
    yield f"{_INDENT}{time_text(standing.entry.time, seconds=True)}  {kept}"
    for event in standing.events:
        if event.state is State.RELEASING and event is not standing.events[-1]:
            continue  # the next event has the result
        head = f"{_INDENT}{time_text(event.time, seconds=True)}  "
        for number, line in enumerate(wrapped(event_text(event, standing.entry), width - len(head))):
            yield (" " * len(head) if number else head) + line


def event_text(event: Event, entry: Entry) -> str:
    """One event as a sentence without its time: what happened, to which recipients, by whom, and why."""
    names = [shown_address(one) for one in event.recipients] if set(event.recipients) != set(entry.recipients) else []
    others = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    parts = (
        _deed(event),
        f" for {names[0]}{others}" if names else "",
        f" as {event.queue_id}" if event.queue_id else "",
        f", by {event.by}" if event.by else "",
        f": {event.reply}" if event.reply and not event.queue_id else "",
        f" (reason: {event.reason})" if event.reason else "",
    )
    return "".join(parts)


def _deed(event: Event) -> str:
    if event.to:
        return f"{'sent' if event.queue_id else 'not sent'} to {shown_address(event.to)}"
    if event.outcome is not None:
        version = f" (signatures {event.signatures})" if event.signatures else ""
        return f"scanned again: {event.signature or event.outcome}{version}"
    if event.notice:
        return f"notice sent: {event.notice}"
    return _DEEDS.get(event.state, "changed")


def next_step(standing: Standing) -> Iterator[str]:
    """What an administrator can do with the entry: a command on a line of its own, to be copied."""
    released = standing.state is State.RELEASED
    if standing.state is State.RELEASING:
        yield "It is being released."
        return
    infected = standing.scan[0] is Outcome.INFECTED
    options = " --again" * released + " --infected --reason TEXT" * infected
    yield f"To release it{' again' * released}:"
    yield f"{_INDENT}miltscan quarantine release {standing.entry.id}{options}"


def entry_fields(standing: Standing) -> dict[str, Any]:
    """What `show --json` prints; docs/quarantine.md documents it."""
    entry, (outcome, signature, signatures) = standing.entry, standing.scan
    return {
        "id": entry.id,
        "time": iso(entry.time),
        "state": standing.state,
        "area": entry.area,
        "action": entry.action,
        "rule": entry.rule,
        "outcome": entry.outcome,
        "reason": entry.reason,
        "signature": entry.signature,
        "engine": entry.engine,
        "signatures": entry.signatures,
        "last_scan": {"outcome": outcome, "signature": signature, "signatures": signatures},
        "queue_id": entry.queue_id,
        "message_id": readable(entry.message_id),
        "sender": shown_address(entry.sender),
        "recipients": [{"recipient": shown_address(one), "state": state} for one, state in standing.states.items()],
        "from": entry.author,
        "subject": entry.subject,
        "client_name": readable(entry.client_name),
        "client_address": readable(entry.client_address),
        "direction": entry.direction,
        "size": entry.size,
        "digest": entry.digest,
        "encoding": entry.encoding,
        "kept_size": entry.kept_size,
        "events": [_event_fields(event) for event in standing.events],
    }


def _event_fields(event: Event) -> dict[str, Any]:
    """An event without the fields that it does not have."""
    given = event._asdict() | {
        "time": iso(event.time),
        "recipients": [shown_address(one) for one in event.recipients],
        "to": shown_address(event.to),
    }
    return {name: value for name, value in given.items() if value}


def iso(time: float) -> str:
    """A time in seconds of the epoch as in the log: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")


def rows_text(rows: Sequence["Row"], width: int) -> Iterator[str]:
    """A table of entries: below each its envelope and its subject; areas are a column where the rows have several."""
    several = len({row.area for row in rows}) > 1
    columns = [Column("ID"), Column("RECEIVED"), Column("STATE"), *([Column("AREA")] * several), Column("DETECTED")]
    cells = [(row.id, time_text(row.time), row.state, *([row.area] * several), row_found(row)) for row in rows]
    titles, *lines = table(columns, cells, width)
    yield titles
    for row, line in zip(rows, lines, strict=True):
        yield line
        yield from _envelope(row, width)
        duplicate = f"  (duplicate of {row.duplicate_of})" if row.duplicate_of else ""
        yield _INDENT + fit(row.subject or "(no subject)", width - len(_INDENT + duplicate)) + duplicate


def _envelope(row: "Row", width: int) -> Iterator[str]:
    """Sender and recipients; of a long one its end is left out, so that the other one is seen."""
    first, *others = [one.address for one in row.recipients] or [""]
    head, middle, tail = f"{_INDENT}from ", " to ", f" and {len(others):,} more" if others else ""
    room = width - len(head + middle + tail)
    half = max(room // 2, room - cell_len(first))
    sender = fit(row.sender or "<>", half)
    yield head + sender + middle + fit(first, room - cell_len(sender)) + tail


def row_found(row: "Row") -> str:
    """What the last scan found."""
    return _found(row.outcome, row.reason, row.signature)


def _found(outcome: str, reason: str | None, signature: str | None) -> str:
    return signature or (f"{outcome}: {reason}" if reason and outcome != Outcome.CLEAN else outcome)


def row_fields(row: "Row") -> dict[str, Any]:
    """What `list --json` and `search --json` print; docs/quarantine.md documents it."""
    given = {_NAMES.get(name, name): getattr(row, name) for name in row.__slots__}
    recipients = [{"recipient": one.address, "state": one.state} for one in row.recipients]
    return given | {"time": iso(row.time), "changed": iso(row.changed), "recipients": recipients}


def area_fields(totals: Sequence["AreaTotals"], states: Sequence["StateTotals"]) -> list[dict[str, Any]]:
    """The areas as `stats --json` prints them."""
    found = {(one.area, one.state): one.entries for one in states}
    return [
        {
            "area": area.area,
            "entries": area.entries,
            "bytes": area.bytes,
            "oldest": area.oldest,
            "states": {one: found.get((area.area, one), 0) for one in State},
            "release_failed": sum(one.failed for one in states if one.area == area.area),
        }
        for area in totals
    ]


def areas_text(areas: Sequence[Mapping[str, Any]], width: int) -> Iterator[str]:
    """The areas as a table; entries that are being released are in none of its states."""
    states = (State.STORED, State.CLEARED, State.RELEASED)
    numbers = ("ENTRIES", "SIZE", *(state.upper() for state in states), "FAILED")
    columns = (Column("AREA"), *(Column(title, right=True) for title in numbers), Column("OLDEST"))
    rows = [
        (
            area["area"],
            f"{area['entries']:,}",
            size_text(area["bytes"]),
            *(f"{area['states'][state]:,}" for state in states),
            f"{area['release_failed']:,}",
            time_text(area["oldest"]),
        )
        for area in areas
    ]
    return table(columns, rows, width)
