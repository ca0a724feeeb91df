"""The laws: where a curve is flat, the line through its points, and what a processor does in a day."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import law
from tests.bench.law import BOTH, OURS, RAW
from tests.bench.load import Load
from tests.unit.bench.support import SMALL, series

LARGE = Load((1_000_000,), 8, 8)
VALUES = st.floats(0.01, 1e4)


@pytest.mark.parametrize(
    ("points", "range_"),
    [
        ({1: 10}, (1, 1)),
        ({1: 50, 2: 95, 4: 100, 8: 91}, (2, 8)),
        ({1: 50, 2: 95, 4: 100, 8: 89}, (2, 4)),
        ({1: 100, 2: 10, 4: 99}, (1, 1)),  # what comes back after a dip is no part of it
        ({4: 100, 1: 100, 2: 100}, (1, 4)),
    ],
)
def test_where_a_curve_is_flat(points: dict[int, float], range_: tuple[int, int]) -> None:
    """A curve is flat around its highest value, down to nine tenths of that."""
    assert law.flat(points) == range_


@pytest.mark.parametrize(
    ("points", "fixed", "slope", "worst_at", "worst"),
    [
        ({0: 1, 1: 3}, 1, 2, None, 0),
        ({0.001: 1.001, 1: 2, 50: 51}, 1, 1, None, 0),
        ({0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1, 6: 1}, 1.04, 0, 3, 0.92),  # the bend is named
    ],
)
def test_a_line_through_points(
    points: dict[float, float], fixed: float, slope: float, worst_at: float | None, worst: float
) -> None:
    """A line has a fixed cost, a cost for each unit, and the point farthest from it."""
    found = law.line(points)
    assert [found.fixed, found.slope] == pytest.approx([fixed, slope], abs=0.01)
    assert found.worst == pytest.approx(worst, abs=0.02)
    assert worst_at in (None, found.worst_at)


@given(VALUES, VALUES)
def test_a_line_is_found_again(fixed: float, slope: float) -> None:
    """Both parts of a line are found, because small values count as much as large ones."""
    found = law.line({x: fixed + slope * x for x in (0, 0.001, 1, 50)})
    assert [found.fixed, found.slope] == pytest.approx([fixed, slope], rel=0.01)
    assert abs(found.worst) < 0.01


def test_a_day_of_one_processor() -> None:
    """2 ms for a message are 43,200,000 messages a day; clamd's 1.75 ms and our 0.25 ms are seven threads a worker."""
    sweeps = {
        "size": [series(OURS, [0.25]), series(BOTH, [1, 2, 30]), series(RAW, [1])],
        "mixed": [series(OURS, [60], LARGE), series(BOTH, [49], LARGE)],
    }
    assert [*law.sizing(sweeps)][2:] == [
        "| 1 KB | 2.00 | 0.25 | 43,200,000 | 7 |",
        "| 1 MB | 49.00 | 60.00 | 1,760,000 | 1 |",
    ]


def test_each_law_in_words() -> None:
    """Each measured sweep has its law in words, with its figures."""
    sessions = [series(OURS, [rate], Load((1_000,), 256, n)) for n, rate in ((1, 50), (8, 100), (64, 95))]
    size = [series(OURS, [1]), series(OURS, [3], LARGE), series(RAW, [1]), series(RAW, [4], LARGE)]
    numbers = [series("1 servers", [10]), series("2 servers", [19]), series("4 servers", [30])]
    text = "\n".join(law.words({"sessions": sessions, "size": size, "servers": numbers, "other": size}))
    assert "within a tenth of its highest, 100 a second) from 8 to 64 sessions;" in text
    assert "with 1 it is 50% of that, with 64 95%." in text
    assert "costs miltscan 1.00 ms of CPU and 2.00 ms more for each MB" in text
    assert "raw client's:** 1 KB 1.00, 1 MB 0.75." in text
    assert "- **Servers, rate as times that of 1:** 2 1.90, 4 3.00." in text
    assert "Workers" not in text


def test_a_peak_is_no_flat_part() -> None:
    """A curve that is flat at one point only has other words."""
    sessions = [series(OURS, [rate], Load((1_000,), 256, n)) for n, rate in ((1, 50), (8, 100), (64, 50))]
    (text,) = law.words({"sessions": sessions})
    assert "100 a second) at 8 alone;" in text


def test_several_loads_of_a_number_have_a_range() -> None:
    """Several loads of a number are shown as median, lowest and highest."""
    measured = ((1, 10, LARGE), (2, 20, LARGE), (1, 5, SMALL), (2, 8, SMALL))
    workers = [series(f"{number} workers", [rate], load) for number, rate, load in measured]
    assert [*law.words({"workers": workers})] == ["- **Workers, rate as times that of 1:** 2 1.80 (1.60 to 2.00)."]


def test_nothing_measured_says_nothing() -> None:
    """Without measurements there is no line and no error."""
    assert [*law.words({})] == []
