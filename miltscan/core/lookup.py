"""Sources of values outside the configuration: how they are named, and what may be asked of them. Pure.

`file:/path` is a file with one value a line, `access:TAG` the keys of sendmail's access map with this tag.
"""

from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What a value is, which decides how it is looked up."""

    ADDRESS = "address"
    HOST = "host"
    NETWORK = "network"
    TEXT = "text"


class Source(Protocol):
    """A source in memory."""

    def has(self, kind: Kind, value: str) -> bool:
        """Whether it names the value; never raises, and reads no file."""


def source_mistake(text: str) -> str | None:
    """What is expected, if `text` names no source."""
    kind, _, rest = text.partition(":")
    if kind == "file" and rest.startswith("/") and rest.isprintable():
        return None
    if kind == "access" and rest.isascii() and rest.isalnum():
        return None
    return "expected file:/absolute/path or access:TAG with a tag of letters and digits"
