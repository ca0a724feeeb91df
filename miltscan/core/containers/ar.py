"""Reads an ar archive: a Debian package, or a library of objects. Pure; never raises.

The members are not compressed: each is a view of the archive (ar(5), deb(5)).
"""

from collections.abc import Iterator

from miltscan.core.containers.budget import ContainerBounds

AR_MAGIC = b"!<arch>\n"
_LONG_NAME, _NAME_END = b"#1/", 16
"""Behind these bytes is the length of a name in front of the content: for BSD, while others take all for content."""
_HEADER, _SIZE, _SIZE_END, _MAGIC, _MAGIC_AT = 60, 48, 58, b"`\n", 58


def ar_members(data: memoryview, bounds: ContainerBounds) -> Iterator[memoryview]:
    """The content of each member in each reading, cut where the archive is; of `bounds.members` and one at most."""
    at = len(AR_MAGIC)
    for _ in range(bounds.members + 1):
        header = bytes(data[at : at + _HEADER])
        size = header[_SIZE:_SIZE_END].strip()
        if header[_MAGIC_AT:] != _MAGIC or not size.isdigit():
            return
        begin = at + _HEADER
        yield data[begin : begin + int(size)]
        name = header[len(_LONG_NAME) : _NAME_END].strip()
        if header.startswith(_LONG_NAME) and name.isdigit():
            yield data[begin + int(name) : begin + int(size)]
        at = begin + int(size) + int(size) % 2
