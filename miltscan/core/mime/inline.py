"""Encodings that stand within a text: uuencode, xxencode, yEnc and BinHex. Pure.

POSIX describes uuencode, RFC 1741 BinHex 4.0, the draft yEnc 1.3 yEnc. Each decoder begins at the line that announces
the encoding, or at once where that line is missing.
"""

from binascii import Error, a2b_base64, a2b_uu
from collections.abc import Iterator

from miltscan.core.mime.octets import blocks, windows

_XX = b"+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_UU = bytes(range(32, 96))
_NOT_XX = bytes(sorted({*range(256)} - {*_XX}))
_XX_TO_UU = bytes.maketrans(_XX + _NOT_XX, _UU + b"\x7f" * len(_NOT_XX))
_AS_IS = bytes(range(256))
_YENC_SHIFT = 42
_YENC_ESCAPE = 64
_YENC = bytes((code - _YENC_SHIFT) % 256 for code in range(256))
_YENC_ESCAPED = [bytes([(code - _YENC_SHIFT - _YENC_ESCAPE) % 256]) for code in range(256)]
_HQX = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_HQX = bytes(sorted({*range(256)} - {*_HQX}))
_HQX_TO_BASE64 = bytes.maketrans(_HQX, _BASE64)
_RUN = b"\x90"
_HEADER = 22
"""Bytes of a BinHex header without the name, whose length is its first byte."""
_LENGTH = 10
"""Bytes before the end of the header at which the four bytes with the length of the data fork begin."""
_FLUSH = 1 << 20
"""Bytes after which a decoder hands on what it has."""


def uu(view: memoryview) -> Iterator[bytes]:
    """The lines of uuencode, up to `end`; a line that is none is skipped."""
    return _uu_lines(view, _AS_IS)


def xx(view: memoryview) -> Iterator[bytes]:
    """As `uu`, with the alphabet of xxencode."""
    return _uu_lines(view, _XX_TO_UU)


def _uu_lines(view: memoryview, table: bytes) -> Iterator[bytes]:
    for block in blocks(view):
        decoded: list[bytes] = []
        for line in block.split(b"\n"):
            if line.rstrip() == b"end":
                yield b"".join(decoded)
                return
            if not line.startswith(b"begin"):
                decoded.append(_uu_line(line.rstrip(b"\r").translate(table)))
        yield b"".join(decoded)


def _uu_line(line: bytes) -> bytes:
    """The bytes of a line; its first character is their number. Characters after the last group are ignored."""
    if len(line) < 2:  # noqa: PLR2004  the number alone
        return b""
    groups = (((line[0] - 32) & 63) + 2) // 3
    try:
        return a2b_uu(line[: 1 + 4 * groups])
    except Error:
        return b""


def yenc(view: memoryview) -> Iterator[bytes]:
    """The lines of yEnc between `=ybegin` and `=yend`, without its own lines."""
    for block in blocks(view):
        text, end, _ = block.partition(b"\n=yend")
        if b"=y" in text:
            text = b"\n".join(line for line in text.split(b"\n") if not line.startswith(b"=y"))
        first, *pieces = text.translate(None, b"\r\n").split(b"=")
        yield first.translate(_YENC) + b"".join([_yenc_escaped(piece) for piece in pieces])
        if end:
            return


def _yenc_escaped(piece: bytes) -> bytes:
    return _YENC_ESCAPED[piece[0]] + piece[1:].translate(_YENC) if piece else b""


def binhex(view: memoryview) -> Iterator[bytes]:
    """The data fork of a BinHex 4.0 file, which stands between two colons. The whole file is held in memory."""
    text = b"".join(windows(view)).partition(b":")[2].partition(b":")[0].translate(_HQX_TO_BASE64, _NOT_HQX)
    chunks = _runs(a2b_base64(text[: len(text) - len(text) % 4]))
    first = next(chunks)
    start = first[0] + _HEADER if first else 0
    left = int.from_bytes(first[start - _LENGTH : start - _LENGTH + 4])
    yield first[start : start + left]
    left -= len(first) - start
    for chunk in chunks:
        if left <= 0:
            return
        yield chunk[:left]
        left -= len(chunk)


def _runs(data: bytes) -> Iterator[bytes]:
    """The bytes whose runs are written as the byte, 0x90 and how often; 0x90 and zero is 0x90 itself."""
    first, *pieces = data.split(_RUN)
    out, held = [first], len(first)
    rest = iter(pieces)
    last = first[-1:]
    for piece in rest:
        # Between two 0x90 is nothing: the second one is the number of the first one's run.
        count, tail = (piece[0], piece[1:]) if piece else (_RUN[0], next(rest, b""))
        run = last * (count - 1) if count else _RUN
        out += (run, tail)
        last = tail[-1:] or (run[-1:] if count == 0 else last)
        held += len(run) + len(tail)
        if held > _FLUSH:
            yield b"".join(out)
            out, held = [], 0
    yield b"".join(out)
