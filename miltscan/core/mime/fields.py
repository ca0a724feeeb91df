"""A header block: its fields Content-*, and every place where the body may begin. Pure.

The strict pattern takes what RFC 5322 allows and nothing else; all readers agree on such a header. Each step of it is
decided by its next byte: it is linear. No group is possessive, since Python before 3.11.5 matches those wrongly.
"""

import re
from typing import NamedTuple

from miltscan.core.mime.octets import Octets

_ENDS = rb"\r\n\v\f\x1c-\x1e"
"""What ends a line for some readers: also what ends one of a str for Python."""
_FIELDS = re.compile(
    rb"(?:>?From [^\r\n]*+\r?\n)?"
    rb"(?:[A-Za-z0-9_][!-9;-~]*+:[^\0%b]*+(?:\r?\n[ \t]++[^ \t\0%b][^\0%b]*+)*\r?\n)*" % (_ENDS, _ENDS, _ENDS)
)
"""Fields with their line ends, after the line that begins a message of an mbox."""
_VALUE = rb"([^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*)"
_CONTENT = re.compile(
    rb"^(?:Content|MIME)-(Type|Transfer-Encoding|Disposition|Version):" + _VALUE, re.IGNORECASE | re.MULTILINE
)
_LOOSE = re.compile(
    rb"Content-(Type|Transfer-Encoding|Disposition)[ \t\v\f:]*+"
    rb"([^%b]*+(?:\r?\n[ \t]++(?!Content-)[^%b]*+)*)" % (_ENDS, _ENDS),
    re.IGNORECASE,
)
"""A field that some reader may see: anywhere in a line, with or without its colon."""
_FOLDED = re.compile(rb"\n[ \t]++Content-", re.IGNORECASE)
"""A field that some reader may see where others see the rest of the field above."""
_ENDS_OPEN = re.compile(rb";[ \t]*+\r?\n(?![ \t])")
"""A field that ends with a semicolon: scanners may take the next field for a parameter of it."""
_LONGEST_LINE = 999
"""Bytes that a line may have (RFC 5322, section 2.1.1), and a CR; scanners may cut a longer one."""
_EMPTY = re.compile(rb"(?:\A|\n)\r?\n")
_BLANK = re.compile(rb"(?:\A|\n)[ \t\v\f\r]++\n")
_FOLD = re.compile(rb"\r?\n(?=[ \t])")


class HeaderFields(NamedTuple):
    """What a header says of its content. The values are unfolded, and have no blanks at their ends."""

    types: tuple[bytes, ...]
    encodings: tuple[bytes, ...]
    dispositions: tuple[bytes, ...]
    versions: tuple[bytes, ...]
    """The values of MIME-Version."""
    bodies: tuple[int, ...]
    """Every offset at which the body may begin, the likeliest first."""
    end: int
    """Where the last of the lines ends in which fields were looked for."""
    strict: bool
    """Whether all readers agree on it."""
    lines: int
    usual: bool
    """Whether scanners of raw mail agree with mail readers."""
    whole: bool
    """Whether its end was found within the bound."""


def read_fields(octets: Octets, start: int, end: int, limit: int) -> HeaderFields:
    """The header that begins at `start`; of more than `limit` bytes only these are read."""
    stop = min(end, start + limit)
    match = _FIELDS.match(octets.view, start, stop)
    after = match.end() if match else start
    ending = octets.piece(after, min(after + 2, end))
    body = after + 2 if ending == b"\r\n" else after + 1 if ending[:1] == b"\n" else after
    if body > after or (after == end > start):
        text = octets.piece(start, after)
        strict = not _FOLDED.search(text)
        return _header(text, _CONTENT if strict else _LOOSE, (body,), body, strict=strict)
    return _broken(octets.piece(start, stop), after - start, start, cut=stop < end)


def _broken(text: bytes, first: int, start: int, *, cut: bool) -> HeaderFields:
    """A header with a line that is no field: some readers end it there, some at an empty line, some at a blank one.

    `first` is the offset of that line in `text`, which is `cut` at the bound.
    """
    empty = _EMPTY.search(text)
    header = text[: empty.end()] if empty else text
    ends = [match.end() for match in (empty, _BLANK.search(header)) if match]
    bodies = dict.fromkeys([*ends, first])
    whole = not cut or bool(ends) or first == 0 or b"\n" in text[first:]
    places = tuple(start + body for body in bodies)
    return _header(header, _LOOSE, places, start + len(header), strict=False)._replace(whole=whole)


def _header(
    text: bytes, pattern: re.Pattern[bytes], bodies: tuple[int, ...], end: int, *, strict: bool
) -> HeaderFields:
    values: dict[bytes, list[bytes]] = {b"type": [], b"transfer-encoding": [], b"disposition": [], b"version": []}
    for name, value in pattern.findall(text):
        values[name.lower()].append((_FOLD.sub(b"", value) if b"\n" in value else value).strip(b" \t"))
    lines = text.split(b"\n")
    types, encodings, dispositions, versions = map(tuple, values.values())
    usual = max(map(len, lines)) <= _LONGEST_LINE and not _ENDS_OPEN.search(text)
    return HeaderFields(types, encodings, dispositions, versions, bodies, end, strict, len(lines), usual, whole=True)
