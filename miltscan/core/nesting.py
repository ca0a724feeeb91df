"""How deep the files of one message lie in messages and archives, by their digests. Pure.

A file is looked into once, wherever it lies: where a copy of it is found deeper later, all that is in it moves with it.
"""

from collections import defaultdict

_DEEPEST = 40
"""Messages and archives, of which each is bounded by 20; an archive that contains itself has no depth."""
_SOMETHING = b""  # stands for what lies in an archive


class Nesting:
    """The files of one message that have been found so far."""

    def __init__(self) -> None:
        self._depths: dict[bytes, int] = {}
        self._within: defaultdict[bytes, set[bytes]] = defaultdict(set)

    @property
    def deepest(self) -> int:
        """The number of messages and archives in which the deepest file lies."""
        return max(self._depths.values(), default=0)

    def place(self, file: bytes, depth: int) -> None:
        """A file lies in so many messages and archives."""
        if depth > _DEEPEST or depth <= self._depths.get(file, -1):
            return
        self._depths[file] = depth
        for inner in self._within.get(file, ()):
            self.place(inner, depth + 1)

    def place_within(self, archive: bytes, file: bytes = _SOMETHING) -> None:
        """A file, or something, lies in an archive that has been placed."""
        self._within[archive].add(file)
        self.place(file, self._depths[archive] + 1)
