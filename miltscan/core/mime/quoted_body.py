"""Quoted-printable bodies: whether one is clean, and what mail readers make of one that is not (RFC 2045, section 6.7).

Pure. Readers disagree about blanks before a line end, and about an escape that is none: kept, without its `=`, or
dropped with one or two characters. What is not text may come from a system whose lines end with LF alone.
"""

import re
from binascii import a2b_qp
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from miltscan.core.mime.closed import Anomaly, Decoding
from miltscan.core.mime.octets import blocks

_DROPPING = (Decoding.QUOTED_DROP0, Decoding.QUOTED_DROP1, Decoding.QUOTED_DROP2)
_DIGITS = "0123456789abcdefABCDEF"
_ESCAPES = {(high + low).encode(): bytes([int(high + low, 16)]) for high, low in product(_DIGITS, repeat=2)}
_BROKEN = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)")
"""An escape that is none. Each step is decided by its next byte, so that it is linear."""
_BLANK_ENDS = (b" \n", b"\t\n", b" \r\n", b"\t\r\n")
_BLANKS = b" \t\v\f\r"


class QuotedBody(NamedTuple):
    """What a quoted-printable body may mean: every decoding that a reader may apply, the likeliest first."""

    decodings: tuple[Decoding, ...]
    anomalies: tuple[Anomaly, ...] = ()
    clean: bool = False
    """Whether every reader agrees."""


def quoted_body(view: memoryview, *, text: bool) -> QuotedBody:
    """The decodings of a body; one if it is clean. `text` means that the kind of its line ends does not matter."""
    if bytes(view[-1:]) == b"=":
        view = view[:-1]  # a soft line break whose line end belongs to the delimiter
    broken = blank = hard = False
    for block in blocks(view):
        broken = broken or _BROKEN.search(block) is not None
        blank = blank or any(end in block for end in _BLANK_ENDS)
        hard = hard or (not text and block.count(b"\n") > block.count(b"=\r\n") + block.count(b"=\n"))
    if not broken and not blank:
        return QuotedBody((Decoding.QUOTED, Decoding.QUOTED_LF) if hard else (Decoding.QUOTED,), clean=not hard)
    decodings = (Decoding.QUOTED, Decoding.QUOTED_LF, Decoding.QUOTED_BLANKS)
    if broken and not all(
        _is_escape(piece) for block in blocks(view) for piece in _without_blanks(block).split(b"=")[1:]
    ):
        return QuotedBody(decodings + _DROPPING, (Anomaly.QUOTED_BROKEN,))
    return QuotedBody(decodings)


def _is_escape(piece: bytes) -> bool:
    return piece[:2] in _ESCAPES or piece[:1] == b"\n"


def quoted(view: memoryview) -> Iterator[bytes]:
    """As it is written; what is no escape stays."""
    return map(a2b_qp, blocks(view))


def quoted_lf(view: memoryview) -> Iterator[bytes]:
    """As `quoted`, with LF for each line end that is not encoded."""
    return (a2b_qp(block.replace(b"\r\n", b"\n")) for block in blocks(view))


def quoted_blanks(view: memoryview) -> Iterator[bytes]:
    """As `quoted_lf`, without blanks at the ends of lines, also after the `=` of a soft line break."""
    return _unescaped(view, b"=", 0)


def quoted_dropping(count: int, view: memoryview) -> Iterator[bytes]:
    """As `quoted_blanks`, without the `=` of what is no escape and the `count` characters after it."""
    return _unescaped(view, b"", count)


def _without_blanks(block: bytes) -> bytes:
    return b"\n".join([line.rstrip(_BLANKS) for line in block.split(b"\n")])


def _unescaped(view: memoryview, kept: bytes, dropped: int) -> Iterator[bytes]:
    """A body without blanks; of an escape that is none `kept` stays, and as many characters are `dropped`."""
    for block in blocks(view):
        first, *pieces = _without_blanks(block).split(b"=")
        yield first + b"".join([_after_equals(piece, kept, dropped) for piece in pieces])


def _after_equals(piece: bytes, kept: bytes, dropped: int) -> bytes:
    escape = _ESCAPES.get(piece[:2])
    if escape is not None:
        return escape + piece[2:]
    return piece[1:] if piece[:1] == b"\n" else kept + piece[dropped:]
