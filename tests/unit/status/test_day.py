"""How the assessment changed in the last day, and whether a queue grows."""

import pytest

from miltscan.core.finding import Level
from miltscan.status.day import DAY, Day
from miltscan.status.model import Assessment, DayChange
from miltscan.status.trend import QueueTrend

OK = Assessment(Level.OK, "Mail is being scanned", [], [])
BAD = Assessment(Level.ERROR, "Mail is not being scanned", ["clamd: is down"], [])


def test_only_changes_are_kept() -> None:
    """The same level and sentence is no change, whatever its details are."""
    day = Day()
    for at, now in ((0, OK), (5, OK), (10, BAD), (15, Assessment(BAD.level, BAD.text, ["another"], [])), (20, OK)):
        day.add(at, now)
    assert day.changes == [
        DayChange(0, Level.OK, OK.text),
        DayChange(10, Level.ERROR, BAD.text),
        DayChange(20, Level.OK, OK.text),
    ]


def test_a_day_is_kept() -> None:
    """What the day began with stays; what ended before it goes. A service that flaps does not fill the memory."""
    day = Day()
    for at, now in ((0, OK), (10, BAD), (20, OK)):
        day.add(at, now)
    day.add(DAY + 15, OK)
    assert [change.at for change in day.changes] == [10, 20]
    for turn in range(2000):
        day.add(DAY + 100 + turn, BAD if turn % 2 else OK)
    assert len(day.changes) == 500


@pytest.mark.parametrize(
    ("samples", "length", "grown"),
    [
        ([(7200, 10), (1700, 30)], 40, 10),
        ([(7200, 10), (1700, 30)], 20, None),
        ([(7200, 10), (1700, 50)], 40, None),
        ([(1700, 30)], 40, None),
        ([], 40, None),
    ],
)
def test_a_queue_grows(samples: list[tuple[float, float]], length: float, grown: float | None) -> None:
    """It is twice as long as in the hours before and has risen for half an hour; a young service has no mean."""
    trend = QueueTrend()
    for ago, count in samples:
        trend.add(10_000 - ago, {"incoming": count})
    assert trend.grown_from("incoming", length, 10_000) == grown
    assert trend.grown_from("delivery", length, 10_000) is None


def test_one_sample_a_minute() -> None:
    """More frequent ones are left out, so that hours need little memory."""
    trend = QueueTrend()
    for at in range(0, 600, 5):
        trend.add(at, {"incoming": 1})
    assert len(trend._samples) == 10  # noqa: SLF001
