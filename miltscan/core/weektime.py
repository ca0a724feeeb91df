"""Hours of the week as the configuration names them: `Mon-Fri 08:00-18:00`, `Sat,Sun`, `22:00-06:00`. Pure."""

import re
from dataclasses import dataclass

from miltscan.core.facts import WeekTime

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "(?:mon|tue|wed|thu|fri|sat|sun)"
_CLOCK = "([01][0-9]|2[0-3]):([0-5][0-9])"
_FORM = re.compile(rf"(?P<days>{_DAY}(?:[-,]{_DAY}){{0,6}})? ?(?:{_CLOCK}-{_CLOCK})?", re.IGNORECASE)
_DAY_LONG = 24 * 60  # minutes


@dataclass(frozen=True)
class Hours:
    """From minute `begin` to before minute `end` of these weekdays; an `end` that is not later is on the next day."""

    days: frozenset[int]
    begin: int
    end: int

    def contains(self, now: WeekTime) -> bool:
        """Whether the time is one of these."""
        if self.begin < self.end:
            return now.weekday in self.days and self.begin <= now.minute < self.end
        today = now.weekday in self.days and now.minute >= self.begin
        return today or ((now.weekday - 1) % 7 in self.days and now.minute < self.end)


def hours(text: str) -> Hours:
    """The hours that `text` names; raises ValueError."""
    found = _FORM.fullmatch(text.strip())
    if not text.strip() or found is None:
        raise ValueError('expected days, hours or both, such as "Mon-Fri 08:00-18:00", "Sat,Sun" or "22:00-06:00"')
    days = frozenset(range(7)) if found["days"] is None else _days(found["days"].lower())
    if found[2] is None:
        return Hours(days, 0, _DAY_LONG)
    begin, end = (int(found[at]) * 60 + int(found[at + 1]) for at in (2, 4))
    return Hours(days, begin, end)


def _days(text: str) -> frozenset[int]:
    """The numbers of `mon-wed,sat`; a range may go beyond Sunday."""
    days: set[int] = set()
    for part in text.split(","):
        first, *others = [_DAYS.index(name) for name in part.split("-")]
        last = others[-1] if others else first
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(days)
