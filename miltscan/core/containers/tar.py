"""Reads a tar, and makes one of many files, so that an engine scans them at once instead of one by one. Pure.

The names are numbers: those in an archive mean nothing here. The format is the ustar of pax(1).
"""

from collections.abc import Iterator, Sequence

TAR_HEAD = _BLOCK = 512
"""Bytes by which a tar is known."""
TAR_END = 2 * _BLOCK
"""Bytes of the end of a tar."""
_CHECKSUM = slice(148, 156)


def as_tar(files: Sequence[memoryview]) -> Iterator[bytes | memoryview]:
    """The tar in pieces: a header, a file, what fills the block, and so on."""
    for number, file in enumerate(files):
        yield _header(number, len(file))
        yield file
        yield bytes(-len(file) % _BLOCK)
    yield bytes(TAR_END)


def tar_size(size: int) -> int:
    """The bytes that a file of this size takes in a tar."""
    return _BLOCK + size + -size % _BLOCK


def _header(number: int, size: int) -> bytes:
    owners = b"0000644\0" + b"0000000\0" * 2
    header = bytearray(b"%d" % number).ljust(100, b"\0") + owners + b"%011o\0" % size + b"%011o\0" % 0
    header += b" " * 8 + b"0" + bytes(100) + b"ustar\x0000"
    header = header.ljust(_BLOCK, b"\0")
    header[_CHECKSUM] = b"%06o\0 " % sum(header)
    return bytes(header)


_SIZE = slice(124, 136)
_LARGE, _LARGE_BITS = 0x80, 95
"""The flag of a size that is a binary number, and its bits (GNU)."""


def is_tar(head: bytes | memoryview) -> bool:
    """Whether this begins with the header of a file in a tar of any kind: its checksum is that of its bytes."""
    if len(head) < _BLOCK:
        return False
    said = bytes(head[_CHECKSUM]).strip(b" \0")
    if not said.isdigit() or b"8" in said or b"9" in said:
        return False
    header = bytes(head[:_BLOCK])
    blank = len(header[_CHECKSUM]) * ord(" ")
    return int(said, 8) == sum(header) - sum(header[_CHECKSUM]) + blank


def tar_members(data: memoryview) -> Iterator[memoryview]:
    """The content of each member, also behind the end of the archive; a block that is no header is passed over."""
    at = 0
    while at + _BLOCK <= len(data):
        header = data[at : at + _BLOCK]
        at += _BLOCK
        if is_tar(header):
            size = _number(bytes(header[_SIZE]))
            yield data[at : at + size]
            at += size + -size % _BLOCK


def _number(field: bytes) -> int:
    if field[0] & _LARGE:
        return int.from_bytes(field) & ((1 << _LARGE_BITS) - 1)
    digits = field.strip(b" \0")
    return int(digits, 8) if digits.isdigit() and not digits.strip(b"01234567") else 0
