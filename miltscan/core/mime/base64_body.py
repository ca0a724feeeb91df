"""Base64 bodies: whether one is clean, and what mail readers make of one that is not (RFC 2045, section 6.8). Pure.

A clean body has one reading. To know that it is clean takes a translate and a comparison, not a decode. In other
bodies readers disagree about foreign characters (ignored, or the end of the line, or of the data), about padding before
the end (the end of the data, the end of a piece, ignored, or a zero) and about lines that are no multiple of four
characters.
"""

from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import NamedTuple

from miltscan.core.mime.closed import Anomaly, Decoding
from miltscan.core.mime.octets import PIECE, blocks, windows

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PADDED = _ALPHABET + b"="
_FOREIGN = bytes(sorted({*range(256)} - {*_ALPHABET}))
_UNPADDED = bytes(sorted({*_FOREIGN} - {*b"="}))
"""What is deleted before a decode: with the padding, and without it."""
_BLANKS = b" \t\r\n\v\f"
_URL = bytes.maketrans(b"-_", b"+/")
_ZEROS = bytes.maketrans(b"=", b"A")
_FULL = 4
"""Characters of a group, which holds three bytes."""
_MOST_PADDING = 2
_LONG_LINE = 1024
"""Bytes within which the first line end of a body is looked for."""
_END = 64
"""Bytes before the end of a body in which the last line end is looked for."""


class Base64Body(NamedTuple):
    """What a base64 body may mean: every decoding that a reader may apply, the likeliest first."""

    decodings: tuple[Decoding, ...]
    anomalies: tuple[Anomaly, ...] = ()
    clean: bool = False
    """Whether every reader agrees: it holds nothing but base64, in lines of whole groups, padded at its end alone."""


_CLEAN = Base64Body((Decoding.BASE64,), clean=True)


def base64_body(view: memoryview) -> Base64Body:
    """The decodings of a body; one if it is clean."""
    view = view[: _trimmed(view)]
    if _is_regular(view):
        return _CLEAN
    padding = _find_padding(view)
    head, tail = view[:padding], view[padding:]
    count, foreign = _survey(head)
    pads, ends = _pads(tail)
    if not foreign and ends:
        aligned = _in_groups(head)
        clean = aligned and pads <= _MOST_PADDING and (count + pads) % _FULL == 0
        return Base64Body((Decoding.BASE64,) if aligned else (Decoding.BASE64, Decoding.BASE64_LINES), clean=clean)
    everywhere = foreign | _survey(tail)[1] - {*b"="}
    decodings = [Decoding.BASE64, Decoding.BASE64_LINES]
    anomalies = []
    if everywhere:
        decodings += [Decoding.BASE64_HEAD, Decoding.BASE64_CUT]
        anomalies.append(Anomaly.BASE64_FOREIGN)
    if everywhere & {*b"-_"}:
        decodings.append(Decoding.BASE64_URL)
    if not ends:
        decodings += [Decoding.BASE64_PIECES, Decoding.BASE64_UNPADDED]
        anomalies.append(Anomaly.PADDING_INSIDE)
        if not foreign:
            decodings += [Decoding.BASE64_QUADS, Decoding.BASE64_ZEROS]
            if pads > _MOST_PADDING or (count + pads) % _FULL:
                # The first piece is no base64 by the standard, so that each reader may make something else of it.
                anomalies.append(Anomaly.PADDING_BROKEN)
    return Base64Body(tuple(decodings), tuple(anomalies))


def _is_regular(view: memoryview) -> bool:
    """Whether a trimmed body is as encoders write it: lines of one length in whole groups, and padding as its end.

    Nine of ten bodies are. This needs one pass of `translate`; the others need several.
    """
    pads = _at_end(view)
    end = len(view) - pads
    first = bytes(view[:_LONG_LINE]).find(b"\n")
    ending = b"" if first < 0 else b"\r\n" if bytes(view[first - 1 : first]) == b"\r" else b"\n"
    width, step = first + 1 - len(ending), first + 1 or PIECE
    ends = 0
    for start in range(0, end, size := PIECE - PIECE % step):
        piece = bytes(view[start : min(start + size, end)])
        count = len(piece) // step if ending else 0
        placed = all(piece[width + at :: step] == ending[at : at + 1] * count for at in range(len(ending)))
        if not placed or piece.translate(None, _ALPHABET) != ending * count:
            return False
        ends += count
    return width % _FULL == 0 and (end - ends * len(ending) + pads) % _FULL == 0


def _at_end(view: memoryview) -> int:
    """How many characters of padding are the last ones of a trimmed body."""
    last = bytes(view[-_MOST_PADDING:])
    return len(last) - len(last.rstrip(b"="))


def _trimmed(view: memoryview) -> int:
    """The length without line ends and blanks at the end."""
    end = len(view)
    while end:
        last = bytes(view[max(0, end - _END) : end])
        kept = len(last.rstrip(_BLANKS))
        if kept:
            return end - len(last) + kept
        end -= len(last)
    return 0


def _find_padding(view: memoryview) -> int:
    """The offset of the first `=`, or the length."""
    passed = 0
    for window in windows(view):
        found = window.find(b"=")
        if found >= 0:
            return passed + found
        passed += len(window)
    return passed


def _survey(view: memoryview) -> tuple[int, set[int]]:
    """How many characters of the alphabet there are, and which others but blanks and line ends."""
    count, foreign = 0, set[int]()
    for window in windows(view):
        rest = window.translate(None, _ALPHABET)
        count += len(window) - len(rest)
        foreign.update(rest.translate(None, _BLANKS))
    return count, foreign


def _pads(tail: memoryview) -> tuple[int, bool]:
    """How many `=` the padding has, blanks aside, and whether it is the end of the body."""
    pads = 0
    for window in windows(tail):
        rest = window.translate(None, _BLANKS)
        after = rest.lstrip(b"=")
        pads += len(rest) - len(after)
        if after:
            return pads, False
    return pads, True


def _in_groups(view: memoryview) -> bool:
    """Whether each line but the last is a multiple of four characters, so that who decodes line by line agrees."""
    short = False
    for block in blocks(view):
        lengths = [*map(len, block.split())]
        if lengths:
            if short or any(length % _FULL for length in {*lengths[:-1]}):
                return False
            short = bool(lengths[-1] % _FULL)
    return True


def _group_ends(text: bytes) -> bytes:
    """The bytes of a piece that may lack its padding; one character too many means nothing."""
    rest = len(text) % _FULL
    return a2b_base64(text[:-1] if rest == 1 else text + b"==="[rest - 1 :] if rest else text)


def _decoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What characters of the alphabet, one stream in any pieces, decode to."""
    carried = b""
    for piece in pieces:
        text = carried + piece
        whole = len(text) - len(text) % _FULL
        yield a2b_base64(text[:whole])
        carried = text[whole:]
    yield _group_ends(carried)


def base64(view: memoryview) -> Iterator[bytes]:
    """Foreign characters are ignored, and the first padding is the end."""
    return _decoded(window.translate(None, _FOREIGN) for window in windows(view[: _find_padding(view)]))


def base64_url(view: memoryview) -> Iterator[bytes]:
    """As `base64`, with the alphabet of RFC 4648, section 5."""
    return _decoded(window.translate(_URL).translate(None, _FOREIGN) for window in windows(view[: _find_padding(view)]))


def base64_unpadded(view: memoryview) -> Iterator[bytes]:
    """Padding is ignored as a foreign character is."""
    return _decoded(window.translate(None, _FOREIGN) for window in windows(view))


def base64_zeros(view: memoryview) -> Iterator[bytes]:
    """Padding stands for six bits of zero, but at the end of the body."""
    view = view[: _trimmed(view)]
    view = view[: len(view) - _at_end(view)]
    return _decoded(window.translate(_ZEROS, _UNPADDED) for window in windows(view))


def base64_pieces(view: memoryview) -> Iterator[bytes]:
    """Each padding ends a piece, and the next piece begins with a new group."""
    return _joined(window.translate(None, _UNPADDED) for window in windows(view))


def base64_lines(view: memoryview) -> Iterator[bytes]:
    """Each line is decoded by itself: one with foreign characters is dropped, and so is what follows its last group."""
    return _joined(b"".join(_whole_lines(block)) for block in blocks(view))


def base64_head(view: memoryview) -> Iterator[bytes]:
    """The lines before the first one that holds a foreign character: what follows is a footer."""
    return _joined(_head(view))


def base64_cut(view: memoryview) -> Iterator[bytes]:
    """Each line ends at its first foreign character."""
    return _decoded(
        b"".join([line[: len(line) - len(line.lstrip(_ALPHABET))] for line in block.split()]) for block in blocks(view)
    )


def base64_quads(view: memoryview) -> Iterator[bytes]:
    """Padding counts as a character of its group, wherever it stands in it."""
    carried = b""
    for window in windows(view):
        text = carried + window.translate(None, _UNPADDED)
        whole = len(text) - len(text) % _FULL
        yield b"".join([_group_ends(text[at : at + _FULL].replace(b"=", b"")) for at in range(0, whole, _FULL)])
        carried = text[whole:]
    yield _group_ends(carried.replace(b"=", b""))


def _head(view: memoryview) -> Iterator[bytes]:
    """The padding and the characters of the alphabet, line by line, as far as there are no others."""
    for block in blocks(view):
        texts = block.split()
        good = list(takewhile(_is_base64, texts))
        yield b"".join(good)
        if len(good) < len(texts):
            return


def _is_base64(text: bytes) -> bool:
    return not text.translate(None, _PADDED)


def _whole_lines(block: bytes) -> Iterator[bytes]:
    for line in block.splitlines():
        text = line.strip(_BLANKS)
        if len(text) >= _FULL and _is_base64(text):
            yield text[: len(text) - len(text) % _FULL]


def _joined(texts: Iterable[bytes]) -> Iterator[bytes]:
    """What characters of the alphabet and padding, one stream in any pieces, decode to, each padded piece by itself."""
    carried = b""
    for text in texts:
        *pieces, last = (carried + text).split(b"=")
        whole = len(last) - len(last) % _FULL
        yield b"".join([_group_ends(piece) for piece in pieces if piece]) + a2b_base64(last[:whole])
        carried = last[whole:]
    yield _group_ends(carried)
