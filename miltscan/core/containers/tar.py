"""Makes a tar of many files, so that an engine scans them at once instead of one by one. Pure.

The names are numbers: those in an archive mean nothing here. The format is the ustar of pax(1).
"""

from collections.abc import Iterator, Sequence

_BLOCK = 512
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
