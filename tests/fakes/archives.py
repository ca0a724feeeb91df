"""Archives other than zips, made without the programs that usually make them."""

import lzma
import zlib
from collections.abc import Sequence
from struct import pack

_LZMA = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 2}]
_ALONE_HEADER = 13


def as_alone(content: bytes) -> bytes:
    """A .lzma."""
    return lzma.compress(content, lzma.FORMAT_ALONE, filters=_LZMA)


def as_lzip(*contents: bytes) -> bytes:
    """A .lz of several members."""
    return b"".join(map(_lzip_member, contents))


def _lzip_member(content: bytes) -> bytes:
    stream = as_alone(content)[_ALONE_HEADER:]
    return b"LZIP\x01\x14" + stream + pack("<IQQ", zlib.crc32(content), len(content), 26 + len(stream))


def as_ar(*contents: bytes) -> bytes:
    """An ar archive with these files; the names are those of a Debian package."""
    archive = b"!<arch>\n"
    for name, content in zip((b"debian-binary", b"control.tar", b"data.tar"), contents, strict=False):
        archive += name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"100644".ljust(8)
        archive += b"%d" % len(content) + b" " * (10 - len(b"%d" % len(content))) + b"`\n" + content
        archive += b"\n" * (len(content) % 2)
    return archive


def as_lzw(content: bytes) -> bytes:
    """A .Z (compress(1)), which only names each byte: its table is cleared before its codes need ten bits."""
    codes: list[int] = []
    for at in range(0, len(content), 239):
        block = [*content[at : at + 239], 256]  # the code that clears
        codes += block + [0] * (-len(block) % 8)  # a change of the table skips to the end of eight codes
    bits = sum(code << 9 * number for number, code in enumerate(codes))
    return b"\x1f\x9d\x90" + bits.to_bytes(-(-9 * len(codes) // 8), "little")


def as_zstd(content: bytes) -> bytes:
    """A .zst that stores (RFC 8878)."""
    return _zstd(
        [(0, content[at : at + _BLOCK], len(content[at : at + _BLOCK])) for at in range(0, len(content), _BLOCK)]
    )


def zstd_zeros(size: int) -> bytes:
    """A .zst of zeros, of which each four bytes become 128 KiB."""
    return _zstd([(1, b"\0", _BLOCK)] * (size // _BLOCK))


_BLOCK = 1 << 17


def _zstd(blocks: Sequence[tuple[int, bytes, int]]) -> bytes:
    headers = [size << 3 | kind << 1 | (number == len(blocks) - 1) for number, (kind, _, size) in enumerate(blocks)]
    body = b"".join(pack("<I", header)[:3] + data for header, (_, data, _) in zip(headers, blocks, strict=True))
    return b"\x28\xb5\x2f\xfd\x00\x58" + body
