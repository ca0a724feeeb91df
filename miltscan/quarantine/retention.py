"""How long entries are kept: a bound on age, number and bytes for each area. The oldest go first."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from miltscan.quarantine.entry import first_id


class Bound(StrEnum):
    """The bound that an entry exceeded."""

    AGE = "age"
    ENTRIES = "entries"
    SIZE = "size"


class Retention(NamedTuple):
    """The bounds of an area: `max_age` in seconds, number of entries, bytes on disk; 0 is no bound."""

    max_age: float = 0.0
    max_entries: int = 0
    max_size: int = 0


KEEP = Retention()
"""No bounds."""


class Oldest(NamedTuple):
    """One of the oldest entries of an area: bytes on disk, and the queue ID at its arrival, cleaned."""

    id: str
    disk: int
    queue_id: str = ""


class Expired(NamedTuple):
    """An entry that its area no longer keeps."""

    id: str
    area: str
    bound: Bound
    queue_id: str = ""


def expired(
    area: str, held: tuple[int, int], oldest: Iterable[Oldest], retention: Retention, now: float
) -> list[Expired]:
    """Those of `oldest` (oldest first) that must go; `held` are entries and bytes of the whole area."""
    entries, size = held
    limit = first_id(now - retention.max_age) if retention.max_age else ""
    found = []
    for entry_id, disk, queue_id in oldest:
        if entry_id < limit:
            bound = Bound.AGE
        elif 0 < retention.max_entries < entries:
            bound = Bound.ENTRIES
        elif 0 < retention.max_size < size:
            bound = Bound.SIZE
        else:
            break
        found.append(Expired(entry_id, area, bound, queue_id))
        entries, size = entries - 1, size - disk
    return found
