"""Facts that rules read and that the log line of a message would else not have: to texts for the log, and back. Pure.

    user=alice   tls=true   daemon=MSA   header=List-Id: <news.example.org>   header=X-Absent   attachment=exe:a.exe
    attachments=1   depth=2

A header without a colon is one that the message does not have. The number of attachments is noted only where all of
them are, with all of their names. What is not noted is unknown, and so is what the log has
shortened. The log shows a fold as an escape: only values without a backslash are noted, so that it can be read back.
"""

import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from miltscan.core.attachments import Attachment, of_type
from miltscan.core.facts import OF_ATTACHMENTS, OF_CIRCUMSTANCES
from miltscan.core.file_types import FileType
from miltscan.core.message import NO_CIRCUMSTANCES, Circumstances, Message
from miltscan.core.rules import Rules

ATTACHMENTS_NOTED = 10
"""Attachments of a message that are noted, with their first names."""
HEADERS_NOTED = 10
"""Headers of a message that are noted: the first values of each name that rules read."""
_LONGEST = 200  # characters of a value; a longer one is unknown
_NAMES = 20
_DIGITS = 4  # of a depth
_CUT = "…"  # a text that the log has shortened
_ESCAPE = re.compile(r"\\(?:([nrt])|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_SPACES = {"n": "\n", "r": "\r", "t": "\t"}


class Noted(NamedTuple):
    """What the notes say; None is unknown, and so is a header that is not in `headers`."""

    user: str | None = None
    tls: bool | None = None
    daemon: str | None = None
    headers: Mapping[bytes, Sequence[bytes]] = {}
    attachments: tuple[Attachment, ...] | None = None
    depth: int | None = None


def notes_on(rules: Rules, message: Message) -> Iterator[str]:
    """The notes on a message: only facts that the rules read."""
    yield from _of_session(message.circumstances, rules.reads)
    if not rules.reads.isdisjoint(OF_ATTACHMENTS) and message.structure:
        yield from _attachments(message.structure.attachments)
        yield f"depth={message.structure.depth}"
    if rules.headers:
        yield from _headers(rules.headers[:_NAMES], message)


def _attachments(found: Sequence[Attachment]) -> Iterator[str]:
    for one in found[:ATTACHMENTS_NOTED]:
        yield f"attachment={one.type}:{one.names[0] if one.names else ''}"
    plain = all(
        len(one.names) <= 1 and all("\\" not in name and _is_plain(name) for name in one.names) for one in found
    )
    if plain and len(found) <= ATTACHMENTS_NOTED:
        yield f"attachments={len(found)}"


def notes_at_rcpt(given: Circumstances) -> Iterator[str]:
    """The notes on a message that has not arrived: what is known of its session; nothing if no rule reads that."""
    if given != NO_CIRCUMSTANCES:
        yield from _of_session(given, OF_CIRCUMSTANCES)


def _of_session(given: Circumstances, reads: Collection[str]) -> Iterator[str]:
    if "user" in reads and _is_plain(given.user):
        yield f"user={given.user}"
    if "tls" in reads:
        yield f"tls={'true' if given.tls_version else 'false'}"
    if "daemon" in reads and _is_plain(given.daemon):
        yield f"daemon={given.daemon}"


def _is_plain(text: str) -> bool:
    """Whether the log has the text as it is."""
    return len(text) <= _LONGEST and text.isprintable()


def _headers(names: Sequence[bytes], message: Message) -> Iterator[str]:
    left = HEADERS_NOTED
    for name in names:
        values = [value.decode("utf-8", "backslashreplace") for one, value in message.headers if one.lower() == name]
        if len(values) > left or any(len(value) > _LONGEST or "\\" in value for value in values):
            continue  # as unknown as one that does not fit
        left -= len(values)
        if not values:
            yield f"header={name.decode()}"
        yield from (f"header={name.decode()}:{value}" for value in values)


def read_notes(notes: Sequence[str]) -> Noted:
    """What the notes say; a text that is none says nothing."""
    found: dict[str, str] = {}
    headers: dict[bytes, list[bytes]] = {}
    cut: list[str] = []
    for note in notes:
        key, _, value = note.partition("=")
        name, colon, text = value.partition(":")
        if key != "header":
            found |= {} if _CUT in note else {key: value}
        elif _CUT in note:
            cut.append(name.rstrip(_CUT))
        else:
            values = headers.setdefault(name.encode(errors="backslashreplace"), [])
            values += [_ESCAPE.sub(_character, text).encode(errors="backslashreplace")] if colon else []
    # of a header that was cut the other values are not all
    known = {name: values for name, values in headers.items() if not name.decode().startswith(tuple(cut))}
    tls = {"true": True, "false": False}.get(found.get("tls", ""))
    return Noted(found.get("user"), tls, found.get("daemon"), known, _attachments_of(notes), _depth_of(found))


def _attachments_of(notes: Sequence[str]) -> tuple[Attachment, ...] | None:
    """The attachments; None if not all of them are noted."""
    given = [note.removeprefix("attachment=").partition(":") for note in notes if note.startswith("attachment=")]
    if f"attachments={len(given)}" not in notes or any(_CUT in name for _, _, name in given):
        return None
    try:
        return tuple(of_type((name,) if name else (), FileType(kind)) for kind, _, name in given)
    except ValueError:  # a type of another version
        return None


def _depth_of(found: Mapping[str, str]) -> int | None:
    text = found.get("depth", "")
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= _DIGITS else None


def _character(escape: re.Match[str]) -> str:
    """The character of an escape; of one that names none the escape."""
    if escape[1]:
        return _SPACES[escape[1]]
    code = int(escape[2] or escape[3] or escape[4], 16)
    return chr(code) if code <= sys.maxunicode else escape[0]
