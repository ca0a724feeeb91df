"""Statistics of the rounds of a measurement: medians, spreads, ratios and their noise; pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, stdev

_TO_DEVIATION = 1.4826  # standard deviation of a normal distribution divided by its median absolute deviation


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, the lowest and the highest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the rounds' ratios, and their noise."""

    value: float
    noise: float


def spread(values: Sequence[float]) -> Spread:
    """Return the spread of at least one value."""
    return Spread(median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the lowest value that at least this share of all (0 to 1) does not exceed: the nearest rank."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def noise(values: Sequence[float]) -> float:
    """Return the standard deviation of the values, estimated so that single outliers do not change it."""
    middle = median(values)
    return _TO_DEVIATION * median(abs(value - middle) for value in values)


def wide_noise(values: Sequence[float]) -> float:
    """Return twice the standard deviation, outliers included: the noise for many comparisons at once.

    Two equal versions, compared 27 times as in `make bench-quick --against`, differ by more than this in one run of
    nine with 5 rounds and in one of a hundred with 9 (simulated with normal values). By `noise` they nearly always do.
    """
    return 2 * stdev(values)


def ratio(
    ours: Sequence[float], theirs: Sequence[float], noise_of: Callable[[Sequence[float]], float] = noise
) -> Ratio:
    """Divide round by round, since most disturbances of a round affect both. ValueError if the lengths differ."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return Ratio(median(ratios), noise_of(ratios))
