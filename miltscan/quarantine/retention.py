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


class Expired(NamedTuple):
    """An entry that its area no longer keeps."""

    id: str
    area: str
    bound: Bound


def expired(
    area: str, held: tuple[int, int], oldest: Iterable[tuple[str, int]], retention: Retention, now: float
) -> list[Expired]:
    """Those of `oldest` (ID and bytes, oldest first) that must go; `held` are entries and bytes of the whole area."""
    entries, size = held
    limit = first_id(now - retention.max_age) if retention.max_age else ""
    found = []
    for entry_id, disk in oldest:
        if entry_id < limit:
            bound = Bound.AGE
        elif 0 < retention.max_entries < entries:
            bound = Bound.ENTRIES
        elif 0 < retention.max_size < size:
            bound = Bound.SIZE
        else:
            break
        found.append(Expired(entry_id, area, bound))
        entries, size = entries - 1, size - disk
    return found
