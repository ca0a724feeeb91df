"""How busy a server of an engine is."""

from typing import NamedTuple


class Load(NamedTuple):
    """Commands that wait for a thread (`queue`), and threads: `live` work, `idle` wait, `max` is the limit."""

    queue: int
    live: int
    idle: int
    max: int
