"""Statistics of rounds: percentiles, spreads, ratios and their noise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import figures

VALUES = st.lists(st.floats(min_value=0.001, max_value=1000), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1, 100)],
)
def test_percentile_by_nearest_rank(share: float, expected: int) -> None:
    """The percentile is the nearest rank of the numbers 1 to 100, in any order."""
    assert figures.percentile([*range(51, 101), *range(1, 51)], share) == expected


def test_percentile_of_one_value() -> None:
    """Every percentile of one value is that value."""
    assert figures.percentile([7], 0.99) == 7


@pytest.mark.parametrize(
    ("ours", "theirs", "value", "noise"),
    [
        ([1, 1, 1], [2, 2, 2], 0.5, 0),
        ([1, 10], [2, 20], 0.5, 0),  # what disturbs both disturbs nothing
        ([1, 2, 3], [1, 1, 1], 2, 1.4826),
        ([1, 2, 300], [1, 1, 1], 2, 1.4826),  # one outlier changes neither
    ],
)
def test_ratio_and_its_noise(ours: list[float], theirs: list[float], value: float, noise: float) -> None:
    """The ratio is the median of the rounds' ratios; the noise is their median absolute deviation, scaled."""
    found = figures.ratio(ours, theirs)
    assert [found.value, found.noise] == pytest.approx([value, noise])


def test_ratio_of_unequal_rounds_is_an_error() -> None:
    """Rounds of unequal number are an error, because each is compared with its partner."""
    with pytest.raises(ValueError, match="shorter"):
        figures.ratio([1, 2], [1])


@given(VALUES)
def test_spread_is_in_order(values: list[float]) -> None:
    """The median is between the lowest and the highest, as is each percentile."""
    found = figures.spread(values)
    assert found.low <= found.median <= found.high
    assert found.low <= figures.percentile(values, 0.99) <= found.high


@given(VALUES)
def test_ratio_to_itself_is_one(values: list[float]) -> None:
    """The ratio of a sample to itself is one, without noise."""
    assert figures.ratio(values, values) == figures.Ratio(1, 0)
