"""The value of a field Content-Type or Content-Disposition: media type, boundary candidates, names. Pure.

A value that follows the grammar of RFC 2045 strictly has one reading. In any other, each occurrence of a parameter is
read by several rules: quoted or not, with and without escapes, comments, RFC 2231 pieces in either order, RFC 2047.
Each step of a pattern is decided by its next byte, so that it is linear.
"""

import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

_TOKEN = rb"[!#$%&'*+.0-9A-Z^_`a-z{|}~-]++"
_STRICT = re.compile(
    rb"[ \t]*+(%b(?:/%b)?)[ \t]*+((?:;[ \t]*+%b=(?:%b|\"[^\"\\\r\n]*+\")[ \t]*+)*);?[ \t]*+" % (_TOKEN, *[_TOKEN] * 3)
)
_PARAMETER = re.compile(rb"(%b)=(?:(%b)|\"([^\"]*+)\")" % (_TOKEN, _TOKEN))
_LOOSE = re.compile(rb"(boundary|filename|name)[\s\\]*+(\*[0-9]*+\*?+)?[\s\\]*+=[\s]*+", re.IGNORECASE)
_COMMENT = re.compile(rb"\([^()]*+\)")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_ENDS = re.compile(rb'[\s;,"(]')
_WORD = re.compile(rb"=\?[^?]*+\?([BbQq])\?([^?]*+)\?=")
_PLAIN_BOUNDARY = re.compile(rb"(?!.*=\?)[^\s]++", re.DOTALL).fullmatch
"""A boundary without blanks, in which no reader sees an encoded word."""
_LONGEST = 2048
"""Bytes of a value that are read; a boundary has at most 70 (RFC 2046), which RFC 2231 may write as 210."""
_MOST_DIGITS = 6
_NAME_READINGS = 2
"""Readings of a name beside the whole: with and without escapes, or up to a blank and with blanks."""
_NEXT = re.compile(rb";[ \t]*+%b=" % _TOKEN)
_MOST_PIECES = 64
"""Pieces of a value by RFC 2231 that are read."""


class Name(NamedTuple):
    """A file name as its field has it: `filename` or `name`, with the asterisks and the number of RFC 2231.

    What RFC 2231 and RFC 2047 encode is not decoded. The pieces of a name are there one by one, and joined.
    """

    parameter: bytes
    value: bytes


class Value(NamedTuple):
    """What a value says, in all readings."""

    kind: bytes
    """The media type or the disposition, in lower case; empty if there is none."""
    boundaries: tuple[bytes, ...] = ()
    names: tuple[Name, ...] = ()
    strict: bool = True
    """Whether it follows the grammar, so that all readers agree."""


def read_value(value: bytes) -> Value:
    """The readings of an unfolded value."""
    match = _STRICT.fullmatch(value)
    if match:
        found = [(name.lower(), token or quoted) for name, token, quoted in _PARAMETER.findall(match[2])]
        boundaries = [one for name, one in found if name == b"boundary"]
        kind = match[1].lower()
        sure = len(boundaries) == kind.startswith(b"multipart/") and all(map(_PLAIN_BOUNDARY, boundaries))
        if sure and not any(name.startswith(b"boundary*") for name, _ in found):
            return Value(kind, tuple(boundaries), tuple(_names(found)))
    return _loose(value)


def _loose(value: bytes) -> Value:
    bare = _COMMENT.sub(b"", value)
    variants = dict.fromkeys((value, bare, _ESCAPE.sub(rb"\1", value)))
    found = [one for variant in variants for one in _occurrences(variant)]
    boundaries = [reading for name, star, text in found if name == b"boundary" for reading in _readings(text, star)]
    boundaries += _continued([(star, text) for name, star, text in found if name == b"boundary" and star])
    names = [
        (name + star, reading)
        for name, star, text in found
        if name != b"boundary"
        for reading in (*islice(_readings(text, star), _NAME_READINGS), _whole(text))
    ]
    kind = bare.partition(b";")[0].translate(None, b" \t\"'\\").lower()
    unique = dict.fromkeys(one for one in boundaries if one)
    return Value(kind, tuple(unique), tuple(dict.fromkeys(_names(names))), strict=False)


def _occurrences(value: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, asterisks and following text of each parameter that some reader may see."""
    for match in islice(_LOOSE.finditer(value), _MOST_PIECES):
        yield match[1].lower(), match[2] or b"", value[match.end() : match.end() + _LONGEST]


def _readings(text: bytes, star: bytes) -> Iterator[bytes]:
    """What a parameter whose value begins with `text` may be, the likeliest first."""
    quoted = _QUOTED.match(text)
    if quoted:
        yield _ESCAPE.sub(rb"\1", quoted[1])
        yield quoted[1]
        text = text[1:]
    yield _ENDS.split(text, maxsplit=1)[0]
    item = text.partition(b";")[0]
    yield item.rstrip()
    yield item.translate(None, b'"').strip()
    yield item.partition(b'"')[0]
    yield item.partition(b'"')[2].partition(b'"')[0]
    if star or b"%" in item:
        yield _percent_decoded(item.translate(None, b'"').strip())
    for kind, word in _WORD.findall(item):
        yield _word(kind, word)


def _whole(text: bytes) -> bytes:
    """A name as who does not look at quotes and semicolons takes it: all up to the next parameter."""
    return _NEXT.split(text, maxsplit=1)[0].translate(None, b'"').strip()


def _continued(pieces: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """What the pieces of a value by RFC 2231 may be together: in the order of their numbers, or as they stand."""
    numbered = [(_number((star, text)), next(_readings(text, b""))) for star, text in pieces]
    last = dict(numbered)
    first = dict(reversed(numbered))
    orders = [[texts[number] for number in sorted(texts)] for texts in (first, last)]
    orders += [[text for _, text in numbered], [text for _, text in reversed(numbered)]]
    for order in orders:
        yield b"".join(order)
        yield _percent_decoded(b"".join(order))


def _percent_decoded(value: bytes) -> bytes:
    """The text of an extended value, without its character set and language; UTF-16 keeps its ASCII characters."""
    return unquote_to_bytes(value.split(b"'", 2)[-1] if value.count(b"'") > 1 else value).replace(b"\0", b"")


def _word(kind: bytes, word: bytes) -> bytes:
    """The text of an encoded word (RFC 2047)."""
    try:
        return a2b_base64(word + b"==") if kind in b"Bb" else a2b_qp(word, header=True)
    except Error:
        return b""


def _names(found: Sequence[tuple[bytes, bytes]]) -> Iterator[Name]:
    """The file names among the parameters, and the pieces of RFC 2231 joined in the order of their numbers as well."""
    pieces: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for name, value in found:
        base, _, number = name.partition(b"*")
        if base not in (b"name", b"filename"):
            continue
        if number.strip(b"*"):
            pieces.setdefault(base, []).append((number, value))
        yield Name(name, value)
    for base, parts in pieces.items():
        encoded = b"*" if any(number.endswith(b"*") for number, _ in parts) else b""
        yield Name(base + encoded, b"".join(value for _, value in sorted(parts, key=_number)))


def _number(piece: tuple[bytes, bytes]) -> int:
    digits = piece[0].strip(b"*")[:_MOST_DIGITS]
    return int(digits) if digits.isdigit() else 0
