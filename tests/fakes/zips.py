"""Zips by hand, header for header: what no zip program writes."""

import zlib
from struct import pack
from typing import NamedTuple

PAYLOAD = b"this is what a reader of mail would open\n" * 3


def deflated(data: bytes) -> bytes:
    """The data as method 8 has them."""
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return encoder.compress(data) + encoder.flush()


class Fields(NamedTuple):
    """The fields of a header; `packed` and `size` are bytes of the member."""

    name: bytes = b"a.txt"
    flags: int = 0
    method: int = 0
    packed: int = len(PAYLOAD)
    size: int = len(PAYLOAD)
    extra: bytes = b""
    offset: int = 0


DEFAULT = Fields()


def local(fields: Fields = DEFAULT) -> bytes:
    """A local header (APPNOTE 4.3.7)."""
    name, flags, method, packed, size, extra, _ = fields
    fixed = pack("<HHHIIIIHH", 20, flags, method, 0, 0, packed, size, len(name), len(extra))
    return b"PK\x03\x04" + fixed + name + extra


def central(fields: Fields = DEFAULT) -> bytes:
    """A central header (APPNOTE 4.3.12)."""
    name, flags, method, packed, size, extra, offset = fields
    sizes = len(name), len(extra), 0
    fixed = pack("<HHHHIIIIHHHHHII", 20, 20, flags, method, 0, 0, packed, size, *sizes, 0, 0, 0, offset)
    return b"PK\x01\x02" + fixed + name + extra


def end(entries: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    """The end of central directory (APPNOTE 4.3.16)."""
    return b"PK\x05\x06" + pack("<HHHHIIH", 0, 0, entries, entries, size, offset, len(comment)) + comment


def closed(front: bytes, *centrals: bytes, base: int = 0) -> bytes:
    """What stands in front, then a directory and its end; offsets count from `base`."""
    directory = b"".join(centrals)
    return front + directory + end(len(centrals), len(directory), len(front) - base)


def plain(name: bytes = b"a.txt", data: bytes = PAYLOAD) -> bytes:
    """An ordinary archive of one stored member."""
    fields = Fields(name, packed=len(data), size=len(data))
    return closed(local(fields) + data, central(fields))
