"""The bytes of an entry's files: the first two lines of `ID.entry`, and the lines of `ID.state`; it opens no file.

    miltscan-entry 1
    {"time": 1764375600.5, "area": "default", "recipients": ["<a@example.com>"], ...}
    the message as received, or its encoded form

The end of the second line has a fixed length: size and digest are filled in after the message was copied.
Bytes of the envelope become text by surrogateescape, and the JSON is ASCII, so every byte returns as it was.
"""

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, BinaryIO

from miltscan.core.action import ActionName
from miltscan.core.message import Direction
from miltscan.core.receipt import ReceiptResult
from miltscan.core.text import printable_ascii
from miltscan.core.verdict import Fault, Limit, Outcome
from miltscan.errors import EntryError
from miltscan.quarantine.entry import Encoding, Entry, Event, State, is_entry_id

_NAME = b"miltscan-entry "
_FIRST = _NAME + b"1\n"
LONGEST = 2**24
"""Bytes of the line of JSON: a message may have thousands of recipients."""
_REASONS = {reason.value: reason for kind in (Limit, Fault) for reason in kind}


_LATE = ("size", "digest", "kept_size", "kept_digest")
"""What is known when the message was copied: these fields are the last ones of the line."""
_EARLY = tuple(field.name for field in fields(Entry) if field.name not in _LATE)
_BYTES = ("message_id", "sender")
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
"""What any JSON can raise here that is not ours."""
_LATEST = 253_402_214_400.0  # epoch, seconds: the last day that has a date in every time zone
_LARGEST = 2**63  # what a database has for a number


def opening(entry: Entry) -> bytes:
    """The first line and the second up to the fields of the message itself, which `ending` has."""
    data = {name: getattr(entry, name) for name in _EARLY}
    for name in _BYTES:
        data[name] = _text(data[name])
    data["recipients"] = [_text(one) for one in entry.recipients]
    return _FIRST + json.dumps(data).encode("ascii")[:-1]


def ending(entry: Entry) -> bytes:
    """The rest of the second line, always of `ENDING` bytes."""
    return (
        f", {json.dumps({name: getattr(entry, name) for name in _LATE})[1:]}".encode("ascii").ljust(ENDING - 1) + b"\n"
    )


ENDING = 2 + sum(len(name) + 4 + 2 for name in _LATE) + 2 * (64 + 2) + 2 * 19 + 1
"""Bytes: names with quotes, colon and comma, two digests with quotes, and two numbers of up to 63 bits."""


def header(entry: Entry) -> bytes:
    """The first two lines."""
    return opening(entry) + ending(entry)


def read_header(stream: BinaryIO) -> Entry:
    """The entry that a file begins with; then the stream is at the message. Raises EntryError without the name."""
    first = stream.readline(64)
    if first != _FIRST:
        if first.startswith(_NAME) and first.endswith(b"\n"):
            raise EntryError(
                f"version {printable_ascii(first[len(_NAME) : -1])} of the format is unknown to this miltscan"
            )
        raise EntryError("does not begin as an entry does")
    line = stream.readline(LONGEST)
    if not line.endswith(b"\n"):
        raise EntryError("the description of the message is truncated")
    try:
        return _entry(json.loads(line))
    except _UNREADABLE:
        raise EntryError("the description of the message cannot be read") from None


def _entry(data: dict[str, Any]) -> Entry:
    if not is_entry_id(data["id"]):
        raise ValueError(data["id"])
    return Entry(
        time=_time(data["time"]),
        area=_str(data["area"]),
        action=ActionName(data["action"]),
        queue_id=_str(data["queue_id"]),
        message_id=_bytes(data["message_id"]),
        sender=_bytes(data["sender"]),
        recipients=tuple(map(_bytes, data["recipients"])),
        client_name=_str(data["client_name"]),
        client_address=_str(data["client_address"]),
        direction=Direction(data["direction"]),
        outcome=Outcome(data["outcome"]),
        reason=None if data["reason"] is None else _REASONS[data["reason"]],
        signature=None if data["signature"] is None else _str(data["signature"]),
        engine=_str(data["engine"]),
        rule=_str(data["rule"]),
        signatures=_number(data["signatures"]),
        subject=_str(data["subject"]),
        author=_str(data["author"]),
        receipt=None if data.get("receipt") is None else ReceiptResult(data["receipt"]),  # older entries have none
        id=data["id"],
        size=_number(data["size"]),
        digest=_str(data["digest"]),
        encoding=tuple(map(Encoding, data["encoding"])),
        kept_size=_number(data["kept_size"]),
        kept_digest=_str(data["kept_digest"]),
    )


def event_line(event: Event) -> bytes:
    """The line of an event; what has its default is left out."""
    data = {key: value for key, value in event._asdict().items() if value != Event._field_defaults.get(key, ...)}
    if event.recipients:
        data["recipients"] = [_text(one) for one in event.recipients]
    if event.to:
        data["to"] = _text(event.to)
    return json.dumps(data).encode("ascii") + b"\n"


def read_events(lines: Iterable[bytes]) -> tuple[Event, ...]:
    """The events of a state file. A line that cannot be read was torn by a crash or a full disk: it is skipped."""
    return tuple(event for line in lines if (event := _event(line)) is not None)


def _event(line: bytes) -> Event | None:
    try:
        data = json.loads(line)
        state, outcome = data.get("state"), data.get("outcome")
        return Event(
            time=_time(data["time"]),
            by=_str(data["by"]),
            state=None if state is None else State(state),
            recipients=tuple(map(_bytes, data.get("recipients", ()))),
            to=_bytes(data.get("to", "")),
            queue_id=_str(data.get("queue_id", "")),
            reply=_str(data.get("reply", "")),
            reason=_str(data.get("reason", "")),
            outcome=None if outcome is None else Outcome(outcome),
            signature=None if data.get("signature") is None else _str(data["signature"]),
            signatures=_number(data.get("signatures", 0)),
            notice=_str(data.get("notice", "")),
        )
    except _UNREADABLE:
        return None


def _text(data: bytes) -> str:
    return data.decode("ascii", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("ascii", "surrogateescape")


def _time(value: Any) -> float:  # noqa: ANN401 - of JSON
    time = float(value)
    if not 0 <= time < _LATEST:
        raise ValueError(value)
    return time


def _number(value: Any) -> int:  # noqa: ANN401 - of JSON
    number = int(value)
    if not 0 <= number < _LARGEST:
        raise ValueError(value)
    return number


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value
