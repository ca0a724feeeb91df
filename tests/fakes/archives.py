"""Archives other than zips, made without the programs that usually make them."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Sequence
from struct import pack, unpack_from

_LZMA = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 2}]
_ALONE_HEADER = 13
_SEVEN_ZIP_HEADER = 32


def as_alone(content: bytes) -> bytes:
    """A .lzma."""
    return lzma.compress(content, lzma.FORMAT_ALONE, filters=_LZMA)


def as_lzip(*contents: bytes) -> bytes:
    """A .lz of several members."""
    return b"".join(map(_lzip_member, contents))


def _lzip_member(content: bytes) -> bytes:
    stream = as_alone(content)[_ALONE_HEADER:]
    return b"LZIP\x01\x14" + stream + pack("<IQQ", zlib.crc32(content), len(content), 26 + len(stream))


def rewritten_7z(archive: bytes, change: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> bytes:
    """A 7z (7zFormat.txt) whose data and plain header were changed, with matching checksums in front of them."""
    offset, size = unpack_from("<QQ", archive, 12)
    begin = _SEVEN_ZIP_HEADER + offset
    data, header = change(archive[_SEVEN_ZIP_HEADER:begin], archive[begin : begin + size])
    start = pack("<QQI", len(data), len(header), zlib.crc32(header))
    return archive[:8] + pack("<I", zlib.crc32(start)) + start + data + header


def with_bzip2_header(data: bytes, header: bytes) -> tuple[bytes, bytes]:
    """The header of a 7z compressed by BZip2, which no program does and which 7-Zip reads."""
    packed = bz2.compress(header)
    streams = b"\x06" + _number_7z(len(data)) + b"\x01\x09" + _number_7z(len(packed)) + b"\0"
    coder = b"\x07\x0b\x01\0\x01\x03\x04\x02\x02\x0c" + _number_7z(len(header))
    return data + packed, b"\x17" + streams + coder + b"\x0a\x01" + pack("<I", zlib.crc32(header)) + b"\0\0"


def _number_7z(number: int) -> bytes:
    return bytes([number]) if number < 1 << 7 else bytes([0x80 | number >> 8, number & 0xFF])  # below 16,384


def as_ar(*contents: bytes) -> bytes:
    """An ar archive with these files; the names are those of a Debian package."""
    archive = b"!<arch>\n"
    for name, content in zip((b"debian-binary", b"control.tar", b"data.tar"), contents, strict=False):
        archive += name.ljust(16) + b"0".ljust(12) + b"0".ljust(6) * 2 + b"100644".ljust(8)
        archive += b"%d" % len(content) + b" " * (10 - len(b"%d" % len(content))) + b"`\n" + content
        archive += b"\n" * (len(content) % 2)
    return archive


def as_lzh(content: bytes) -> bytes:
    """A .lzh that stores (header of level 0)."""
    name = b"file.bin"
    head = b"-lh0-" + pack("<II", len(content), len(content)) + bytes(4) + b"\x20\0" + bytes([len(name)]) + name
    head += pack("<H", _crc16(content))
    return bytes([len(head), sum(head) & 0xFF]) + head + content + b"\0"


def _crc16(content: bytes) -> int:
    crc = 0
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


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
