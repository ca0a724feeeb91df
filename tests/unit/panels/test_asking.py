"""Queries as Grafana sends them: steps by the width of a panel, annotations as moments and spans."""

from typing import Any

import pytest

from tests.panels import asking


@pytest.mark.parametrize(
    ("width", "seconds", "every"),
    [
        (24, 3600, 120),  # no more than one point a scrape
        (12, 86_400, 240),
        (3, 86_400, 960),
    ],
)
def test_a_wider_panel_has_more_points(width: int, seconds: int, every: int) -> None:
    """There is a point in about two pixels, at whole scrapes."""
    assert asking.step({"gridPos": {"w": width}}, seconds) == every


class Answers:
    """Answers each range query with one series, and remembers what was asked."""

    def __init__(self, *values: tuple[int, str]) -> None:
        self.values = values
        self.asked: list[str] = []

    def course(self, promql: str, *_: int) -> list[dict[str, Any]]:
        """Return the series."""
        self.asked.append(promql)
        return [{"metric": {}, "values": self.values}]


def test_marks_are_moments_or_spans() -> None:
    """A value that is a time is a moment, once for all samples; another series is a span."""
    answers: Any = Answers((120, "60000"), (180, "60000"))
    board = {
        "annotations": {
            "list": [
                {"expr": "a > $__from", "iconColor": "blue", "useValueForTime": True},
                {"expr": "b", "iconColor": "red"},
            ]
        }
    }
    assert asking.marks(answers, board, 60, 240) == [
        {"begin": 60_000.0, "end": 60_000.0, "colour": "blue"},
        {"begin": 120_000, "end": 180_000, "colour": "red"},
    ]
    assert answers.asked == ["a > 60000", "b"]
