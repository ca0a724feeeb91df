"""Lines at which a part may begin, whatever is around them: a field Content-*, the first line of an encoding. Pure.

Each window is searched for a few fixed words in lower case; what is found is looked at once.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.mime.octets import PIECE, Octets


class Mark(StrEnum):
    """What begins at a line."""

    HEADER = "header"
    UU = "uu"
    BASE64 = "base64"
    YENC = "yenc"
    BINHEX = "binhex"
    RETURN = "return"
    """A carriage return that ends a line for some, within 64 KiB of this place."""


class Marked(NamedTuple):
    """A mark and the offset of its first byte."""

    at: int
    mark: Mark


_WORDS: tuple[tuple[bytes, re.Pattern[bytes], Mark], ...] = (
    (b"\ncontent-", re.compile(rb"\ncontent-(?:type|transfer-encoding|disposition)[ \t]*+[:\n\r]?"), Mark.HEADER),
    # any number of digits, as uudecode takes; two blanks suffice for Outlook
    (b"\nbegin", re.compile(rb"\nbegin(?:[ \t]++[0-7]{1,12}+[ \t]|[ \t]{2})"), Mark.UU),
    (b"\nbegin-base64", re.compile(rb"\nbegin-base64[ \t]"), Mark.BASE64),
    (b"=ybegin", re.compile(rb"=ybegin[ \t]"), Mark.YENC),
    (b"(this file must be ", re.compile(rb"\(this file must be converted with binhex"), Mark.BINHEX),
)
_LONGEST = 64
"""Bytes of the longest mark, with a few blanks."""
_HEADER = re.compile(
    rb"(?:>?from [^\r\n]*+\r?\n)?(?:[!-9;-~]++:[^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*(?:\r?\n|\Z))+(?:\r?\n|\Z)"
)

_OF_MESSAGES = re.compile(rb"(?:\A|\n)(?:content-type|mime-version|received|from|to|subject|date):")
"""A field that tells a message from a calendar or a card, which consist of fields as well."""


def _marks(text: bytes) -> Iterator[tuple[int, Mark]]:
    """The marks in a text in lower case, by the offset of their first letter."""
    for word, pattern, mark in _WORDS:
        at = text.find(word)
        while at >= 0:
            if pattern.match(text, at):
                yield at + (word[:1] == b"\n"), mark
            at = text.find(word, at + 1)


def find_marks(octets: Octets, start: int, end: int) -> Iterator[Marked]:
    """The marks between two offsets, of which the first one is the beginning of a line, in their order."""
    for at in range(start - 1, end - 1, PIECE):
        window = octets.piece(max(0, at), min(end, at + PIECE + _LONGEST))
        text = (window if at >= 0 else b"\n" + window).lower()
        if text.count(b"\r") - text.endswith(b"\r") != text.count(b"\r\n"):  # the last one may end with the window
            yield Marked(at + 1, Mark.RETURN)
        yield from (Marked(at + offset, mark) for offset, mark in sorted(_marks(text)) if offset <= PIECE)


def marked(chunks: Iterable[bytes | memoryview], *, headers: bool) -> bool:
    """Whether there is a mark in a text: of an encoding, or of a header as well."""
    last = b"\n"
    for chunk in chunks:
        text = last + bytes(chunk).lower()
        if any(headers or mark is not Mark.HEADER for _, mark in _marks(text)):
            return True
        last = text[-_LONGEST:]
    return False


def looks_like_message(head: bytes, *, cut: bool) -> bool:
    """Whether a text begins with the header of a message, of which `head` is all, or the beginning if `cut`."""
    text = head.lower()
    return _HEADER.match(text) is not None and (cut or _OF_MESSAGES.search(text) is not None)
