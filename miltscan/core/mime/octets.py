"""The bytes of a message, searched and cut in windows, so that no copy of the whole is ever made. Pure.

A regular expression over a body can be super-linear; `find`, `split` and `translate` of a window cannot.
"""

from collections.abc import Iterator

WINDOW = 1 << 20
"""Bytes in which a line is looked at as a whole; the copy of a window costs a tenth of a search in it."""
PIECE = 1 << 16
"""Bytes that are copied at once where lines do not matter: few enough to stay in the cache of the processor."""
_FIRST = 1 << 12
"""Bytes of the first window of a search: what is looked for is mostly near."""
_ESCAPE = 3
"""Bytes of the longest escape (=3D), which no cut divides."""


def windows(view: memoryview) -> Iterator[bytes]:
    """The bytes of `view` in pieces of at most PIECE bytes."""
    for start in range(0, len(view), PIECE):
        yield bytes(view[start : start + PIECE])


def blocks(view: memoryview) -> Iterator[bytes]:
    """The bytes of `view` in whole lines; one that is longer than WINDOW is cut, but not within `=` and two more."""
    start = 0
    while start < len(view):
        block = bytes(view[start : start + WINDOW])
        if start + WINDOW < len(view):
            cut = block.rfind(b"\n") + 1 or block.find(b"=", WINDOW - _ESCAPE)
            block = block[:cut] if cut > 0 else block
        yield block
        start += len(block)


class Octets:
    """A message, or what a part of it decodes to. Offsets count from its first byte."""

    __slots__ = ("_data", "view")

    def __init__(self, data: bytes | memoryview) -> None:
        """`data` stays as it is while the parts that are read from it are in use; a `memoryview` may be of an mmap."""
        self._data = data if isinstance(data, bytes) else bytes(data) if len(data) <= WINDOW else b""
        self.view = memoryview(self._data or data)

    def find(self, needle: bytes, start: int, end: int) -> int:
        """The offset of the first `needle` that lies within start and end; -1 if there is none."""
        if self._data:
            return self._data.find(needle, start, end)
        size = _FIRST
        while start + len(needle) <= end:
            found = bytes(self.view[start : min(end, start + size + len(needle) - 1)]).find(needle)
            if found >= 0:
                return start + found
            start += size
            size = min(WINDOW, size * 2)
        return -1

    def piece(self, start: int, end: int) -> bytes:
        """A copy of the bytes from start to end."""
        return bytes(self.view[start:end])
