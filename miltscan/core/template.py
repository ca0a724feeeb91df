"""Texts of the configuration with placeholders such as `{signature}`, for replies and headers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from miltscan.core.text import printable_ascii

PLACEHOLDERS = (
    "class",
    "client",
    "engine",
    "outcome",
    "queue_id",
    "reason",
    "recipient",
    "rule",
    "score",
    "sender",
    "signature",
    "size",
)
"""All names that a text may have in braces; `{{` and `}}` are braces."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text that was checked: pieces of text, each followed by the name of a placeholder, or by none."""

    pieces: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> "Template":
        """The template that `text` is: printable ASCII. Raises ValueError with what was expected."""
        if not (text.isascii() and text.isprintable()):
            raise ValueError("expected printable ASCII on one line")
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        pieces = []
        try:
            parts = [*Formatter().parse(text)]
        except ValueError:
            raise ValueError(
                f"expected pairs of braces around a placeholder: {known}; a brace itself is doubled"
            ) from None
        for literal, name, form, conversion in parts:
            if name is not None and (name not in PLACEHOLDERS or form or conversion):
                raise ValueError(f"unknown placeholder {{{name}}}; expected one of {known}")
            pieces.append((literal, name or ""))
        return cls(tuple(pieces))

    def fill(self, values: Mapping[str, str], limit: int) -> str:
        """The text with the values, which may be hostile: printable ASCII, at most `limit` characters."""
        parts = (f"{literal}{printable_ascii(values[name]) if name else ''}" for literal, name in self.pieces)
        return "".join(parts)[:limit]

    def uses(self, name: str) -> bool:
        """Whether the placeholder occurs."""
        return any(one == name for _, one in self.pieces)
