"""How the assessment changed in the last day, in bounded memory. Pure."""

from dataclasses import dataclass, field

from miltscan.status.model import Assessment, DayChange

DAY = 86400.0
"""Seconds that are kept."""
_KEPT = 500  # changes: a service that flaps must not fill the memory


@dataclass(slots=True)
class Day:
    """The changes, oldest first; the first one may be older than a day, as it is what the day began with."""

    changes: list[DayChange] = field(default_factory=list)

    def add(self, at: float, now: Assessment) -> None:
        """Add the assessment at Unix time `at`, if it differs from the last one."""
        last = self.changes[-1] if self.changes else None
        if last is None or (last.level, last.text) != (now.level, now.text):
            self.changes.append(DayChange(at, now.level, now.text))
        while len(self.changes) > _KEPT or (len(self.changes) > 1 and self.changes[1].at <= at - DAY):
            del self.changes[0]
