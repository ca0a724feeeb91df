"""Patterns in which `*` stands for any text, also for none. Linear in the text, whatever it is. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Glob:
    """A pattern; case does not count, and nothing but `*` is special."""

    pattern: str
    _pieces: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_pieces", tuple(self.pattern.lower().split("*")))

    def matches(self, text: str) -> bool:
        """Whether the whole text is of this form."""
        lower = text.lower()
        first, *middle = self._pieces
        if not middle:
            return lower == first
        *middle, last = middle
        if not lower.startswith(first):
            return False
        at, end = len(first), len(lower) - len(last)
        for piece in middle:
            found = lower.find(piece, at, max(end, 0))
            if found < 0:
                return False
            at = found + len(piece)
        return at <= end and lower.endswith(last)
