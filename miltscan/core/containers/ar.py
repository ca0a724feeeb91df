"""Reads an ar archive: a Debian package, or a library of objects. Pure; never raises.

The members are not compressed: each is a view of the archive (ar(5), deb(5)).
"""

from collections.abc import Iterator

from miltscan.core.containers.budget import ContainerBounds

AR_MAGIC = b"!<arch>\n"
_HEADER, _SIZE, _SIZE_END, _MAGIC, _MAGIC_AT = 60, 48, 58, b"`\n", 58


def ar_members(data: memoryview, bounds: ContainerBounds) -> Iterator[memoryview]:
    """The content of each member, cut where the archive is; one more than `bounds.members` at most."""
    at = len(AR_MAGIC)
    for _ in range(bounds.members + 1):
        header = bytes(data[at : at + _HEADER])
        size = header[_SIZE:_SIZE_END].strip()
        if header[_MAGIC_AT:] != _MAGIC or not size.isdigit():
            return
        begin = at + _HEADER
        yield data[begin : begin + int(size)]
        at = begin + int(size) + int(size) % 2
