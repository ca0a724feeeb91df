"""The lines of the file of the lists: JSON, one for each addition, removal and expiry. Pure.

    {"format": "miltscan lists", "version": 1}
    {"event": "added", "time": 1764375600.5, "by": "root", "id": "7k2m9q4w", "list": "allow", "signature": "...", ...}
    {"event": "removed", "time": 1764462000.0, "by": "root", "id": "7k2m9q4w", "reason": "..."}
    {"event": "expired", "time": 1764462000.0, "by": "miltscan", "id": "7k2m9q4w"}

A line that is not exactly one of these is broken and skipped, unknown keys included: a key that this version does not
know could restrict the entry.
"""

import json
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from math import isfinite
from typing import Any

from miltscan.core.lists import DIGEST, LIST_ID, ListEntry, ListName, Lists
from miltscan.core.patterns import pattern

FIRST = b'{"format": "miltscan lists", "version": 1}\n'
LONGEST = 4096
"""Bytes of a line."""
_LAST_TIME = 253_402_300_800.0  # the year 10000


def added_line(entry: ListEntry) -> bytes:
    """The line of an addition; what the entry does not name is left out."""
    named = {"signature": entry.signature, "digest": entry.digest, "sender": entry.sender}
    named |= {"recipient": entry.recipient, "client": str(entry.client or "")}
    data: dict[str, object] = {"event": "added", "time": entry.added, "by": entry.by, "id": entry.id}
    data |= {"list": entry.list} | {key: value for key, value in named.items() if value}
    data |= {"authenticated": True} if entry.authenticated else {}
    data |= {} if entry.until is None else {"until": entry.until}
    return _line(data | {"reason": entry.reason})


def removed_line(list_id: str, now: float, by: str, reason: str) -> bytes:
    """The line of a removal."""
    return _line({"event": "removed", "time": now, "by": by, "id": list_id, "reason": reason})


def expired_line(list_id: str, now: float) -> bytes:
    """The line of an expiry."""
    return _line({"event": "expired", "time": now, "by": "miltscan", "id": list_id})


def _line(data: Mapping[str, object]) -> bytes:
    return json.dumps(data).encode("ascii") + b"\n"


def read_lists(data: bytes) -> Lists:
    """The lists in a file. ValueError if it does not begin with `FIRST`.

    Text after the last line end is a line that is still being written, or was torn by a crash: its writer has not
    reported success. It is skipped.
    """
    if not data:
        return Lists()
    first, *lines = data.split(b"\n")
    if first + b"\n" != FIRST:
        raise ValueError(f"does not begin with the line {FIRST.decode().rstrip()}")
    entries: dict[str, ListEntry] = {}
    gone: set[str] = set()
    broken = []
    for number, line in enumerate(lines[:-1], 2):
        try:
            entry, ended = _read(line)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            broken.append(number)
            continue
        if entry:
            entries.setdefault(entry.id, entry)  # an ID is used once: a second line must not change the entry
        else:
            gone.add(ended)
    return Lists(tuple(one for one in entries.values() if one.id not in gone), tuple(broken))


def _read(line: bytes) -> tuple[ListEntry | None, str]:
    """The entry that a line adds, or the ID of the one that it ends. Raises for any other line."""
    if len(line) > LONGEST:
        raise ValueError
    data = json.loads(line.decode("ascii"))
    match data.pop("event"):
        case "added":
            return _entry(data), ""
        case "removed":
            _text(data.pop("reason"))
        case "expired":
            pass
        case _:
            raise ValueError
    _time(data.pop("time"))
    _text(data.pop("by"))
    ended = _id(data.pop("id"))
    if data:
        raise ValueError
    return None, ended


def _entry(data: dict[str, Any]) -> ListEntry:
    entry = ListEntry(
        id=_id(data.pop("id")),
        list=ListName(data.pop("list")),
        added=_time(data.pop("time")),
        by=_text(data.pop("by")),
        reason=_text(data.pop("reason")),
        signature=_named(data, "signature", bool),
        digest=_named(data, "digest", lambda text: DIGEST.fullmatch(text) is not None),
        sender=_named(data, "sender", lambda text: pattern(text) == text),
        recipient=_named(data, "recipient", lambda text: pattern(text) == text),
        client=ip_network(_text(data.pop("client"))) if "client" in data else None,
        authenticated=_true(data.pop("authenticated")) if "authenticated" in data else False,
        until=_time(data.pop("until")) if "until" in data else None,
    )
    if data or not (entry.signature or entry.digest or entry.sender):
        raise ValueError
    return entry


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _named(data: dict[str, Any], key: str, fits: Callable[[str], object]) -> str:
    """The value of a key that may be missing; an empty one would name anything."""
    if key not in data:
        return ""
    text = _text(data.pop(key))
    if not fits(text):
        raise ValueError
    return text


def _id(value: object) -> str:
    if not LIST_ID.fullmatch(_text(value)):
        raise ValueError
    return _text(value)


def _true(value: object) -> bool:
    if value is not True:
        raise ValueError
    return True


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError
    if not 0 <= value < _LAST_TIME:
        raise ValueError
    return float(value)
