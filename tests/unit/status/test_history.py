"""History: rates and quantiles from the metrics at each step."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.status import history
from miltscan.status.history import SPAN, STEP, History
from miltscan.status.samples import Numbers

MESSAGES = "miltscan_messages_total"
BUCKET = "miltscan_message_duration_seconds_bucket"


def _numbers(clean: float = 0, infected: float | None = None, **gauges: float) -> Numbers:
    counted = {"clean": clean} | ({} if infected is None else {"infected": infected})
    samples = [(MESSAGES, {"outcome": outcome, "action": "accept"}, value) for outcome, value in counted.items()]
    return Numbers([*samples, *((f"miltscan_{name}", {}, value) for name, value in gauges.items())])


def _watched(*steps: Numbers, step: float = STEP) -> History:
    past = History()
    for number, numbers in enumerate(steps):
        past.add(numbers, 1000 + number * step, 50 + number * step)
    return past


def test_the_first_numbers_show_no_rate() -> None:
    """What was counted before the first step is not part of a rate."""
    past = _watched(_numbers(1000))
    assert list(past.points) == []
    assert history.rates(past.last(60)) is None


def test_a_rate_is_growth_by_time() -> None:
    """A rate is calculated over all the points requested."""
    past = _watched(_numbers(100), _numbers(110), _numbers(140))
    assert (history.rates(past.last(5)) or {})["clean"] == 6
    assert (history.rates(past.last(60)) or {})["clean"] == 4


def test_a_counter_that_was_reset_never_shows_a_negative_rate() -> None:
    """All that a reset counter shows is new, as in Prometheus's rate()."""
    past = _watched(_numbers(100), _numbers(7), _numbers(8))
    assert [point.messages["clean"] for point in past.points] == [7, 1]


def test_the_first_message_of_an_outcome_counts() -> None:
    """The first message of an outcome counts although its series did not exist before."""
    past = _watched(_numbers(10), _numbers(10, infected=2))
    assert history.messages(past.points) == {"clean": 0, "spam": 0, "unscanned": 0, "error": 0, "infected": 2}


def test_a_series_that_vanished_is_no_growth() -> None:
    """A series that vanishes adds nothing, and counts from 0 when it returns."""
    past = _watched(_numbers(10, infected=2), _numbers(10), _numbers(10, infected=1))
    assert history.messages(past.points)["infected"] == 1


def test_time_that_did_not_pass_makes_no_point() -> None:
    """Two samples at the same moment make no point, which would divide by zero."""
    past = _watched(_numbers(1), _numbers(2), step=0)
    assert list(past.points) == []


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=40))
def test_no_rate_is_negative(values: list[float]) -> None:
    """No rate is negative, for any values of the counters."""
    past = _watched(*map(_numbers, values))
    assert all(count >= 0 for point in past.points for count in point.messages.values())


def test_memory_is_bounded() -> None:
    """A quarter of an hour is kept, and the oldest point is dropped first."""
    past = _watched(*(_numbers(count) for count in range(2000)))
    assert len(past.points) == SPAN / STEP
    assert past.points[-1].at == 1000 + 1999 * STEP


def test_gauges_are_those_of_the_moment() -> None:
    """A gauge that does not exist is 0 in a plot."""
    past = _watched(_numbers(), _numbers(sessions=3))
    assert past.points[-1].gauges == {"sessions": 3, "transactions_in_flight": 0}


@pytest.mark.parametrize(
    ("buckets", "wanted", "expected"),
    [
        ({}, 0.5, None),
        ({1.0: 0, inf: 0}, 0.5, None),
        ({1.0: 4, 2.0: 4}, 0.5, None),  # no +Inf: no histogram
        ({1.0: 10, 2.0: 10, inf: 10}, 0.5, 0.5),
        ({1.0: 5, 2.0: 10, inf: 10}, 0.5, 1.0),
        ({1.0: 5, 2.0: 10, inf: 10}, 0.75, 1.5),
        ({1.0: 0, 2.0: 10, inf: 10}, 0.1, 1.1),
        ({1.0: 1, 2.0: 1, inf: 10}, 0.99, 2.0),  # beyond the last bound nothing is known
        ({1.0: 0, inf: 3}, 0.5, 1.0),
    ],
)
def test_quantiles_are_those_of_prometheus(buckets: dict[float, float], wanted: float, expected: float | None) -> None:
    """Quantiles follow the rules of histogram_quantile."""
    assert history.quantile(wanted, buckets) == (expected if expected is None else pytest.approx(expected))


@given(st.lists(st.integers(0, 50), min_size=3, max_size=3), st.floats(0.01, 0.99))
def test_a_quantile_lies_within_the_bounds(counts: list[int], wanted: float) -> None:
    """A quantile exists if anything was measured, and lies within the bounds."""
    first, second, third = counts
    buckets = {1.0: first, 2.0: first + second, inf: first + second + third}
    found = history.quantile(wanted, buckets)
    assert (found is None) is (sum(counts) == 0)
    assert found is None or 0 <= found <= 2


def test_latency_is_of_the_points_and_not_of_all_time() -> None:
    """Yesterday's latency does not affect the present."""

    def numbers(fast: float, slow: float) -> Numbers:
        bounds = {"0.1": fast, "1.0": fast, "10.0": fast + slow, "+Inf": fast + slow}
        return Numbers([(BUCKET, {"le": bound}, count) for bound, count in bounds.items()])

    past = _watched(numbers(0, 500), numbers(100, 500))
    assert history.latency(past.points, 0.5, 0.99) == [pytest.approx(0.05), pytest.approx(0.099)]


def test_each_point_has_the_latency_of_its_window() -> None:
    """The latency of a point is that of the last half minute only."""

    def numbers(fast: float, slow: float) -> Numbers:
        bounds = {"0.1": fast, "1.0": fast + slow, "+Inf": fast + slow}
        return Numbers([(BUCKET, {"le": bound}, count) for bound, count in bounds.items()])

    slow_then_fast = [numbers(10 * max(0, step - 1), min(step, 1)) for step in range(10)]
    past = _watched(*slow_then_fast)
    assert past.points[0].quantiles == pytest.approx([0.55, 0.955, 0.991])
    within = int(history.WINDOW / STEP)
    assert [point.quantiles[2] is not None and point.quantiles[2] > 0.1 for point in past.points] == [
        number < within for number in range(9)
    ]
