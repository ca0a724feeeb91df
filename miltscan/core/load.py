"""How busy a server of an engine is; what follows from it is nobody's business here."""

from typing import NamedTuple


class Load(NamedTuple):
    """What waits for a thread (`queue`), and the threads: `live` ones work, `idle` ones wait, `max` there may be."""

    queue: int
    live: int
    idle: int
    max: int
