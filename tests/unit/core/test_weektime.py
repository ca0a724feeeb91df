"""Hours of the week."""

import pytest

from miltscan.core.facts import WeekTime
from miltscan.core.weektime import hours

MONDAY, FRIDAY, SATURDAY, SUNDAY = 0, 4, 5, 6


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Mon-Fri 08:00-18:00", [(MONDAY, 480), (FRIDAY, 1079)], [(MONDAY, 479), (FRIDAY, 1080), (SATURDAY, 600)]),
        ("sat,sun", [(SATURDAY, 0), (SUNDAY, 1439)], [(MONDAY, 0), (FRIDAY, 1439)]),
        ("Fri-Mon", [(FRIDAY, 0), (SUNDAY, 0), (MONDAY, 0)], [(1, 0), (3, 1439)]),
        ("22:00-06:00", [(SUNDAY, 1320), (MONDAY, 359)], [(MONDAY, 360), (MONDAY, 1319)]),
        ("Fri 22:00-06:00", [(FRIDAY, 1320), (SATURDAY, 359)], [(FRIDAY, 0), (SATURDAY, 1320)]),
        ("Sun 23:00-01:00", [(SUNDAY, 1380), (MONDAY, 59)], [(SUNDAY, 0), (MONDAY, 60)]),
        ("Mon,Wed-Thu 00:00-00:00", [(MONDAY, 0), (2, 1439), (3, 700)], [(1, 0), (SATURDAY, 0)]),
    ],
)
def test_hours(text: str, inside: list[tuple[int, int]], outside: list[tuple[int, int]]) -> None:
    """Hours that go beyond midnight belong to the day on which they begin."""
    found = hours(text)
    assert [one for one in inside if not found.contains(WeekTime(*one))] == []
    assert [one for one in outside if found.contains(WeekTime(*one))] == []


@pytest.mark.parametrize("text", ["", " ", "Mo-Fr", "Mon 8:00-18:00", "08:00", "24:00-25:00", "Mon-", "Mon Tue"])
def test_what_are_no_hours(text: str) -> None:
    """The error shows the three forms."""
    with pytest.raises(ValueError, match="expected days, hours or both"):
        hours(text)
