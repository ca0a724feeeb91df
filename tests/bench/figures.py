"""What the rounds of a measurement come to: medians, spreads, ratios and their noise; pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

_TO_DEVIATION = 1.4826  # of a normal distribution: its standard deviation by its median absolute deviation


@dataclass(frozen=True, slots=True)
class Spread:
    """The round in the middle, the lowest and the highest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of the rounds' ratios, and their noise: a standard deviation that single outliers do not change."""

    value: float
    noise: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The lowest value that at least this share of all does not exceed (nearest rank); `share` from 0 to 1."""
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Round by round, as what disturbs a round mostly disturbs both. ValueError if one has more rounds."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return Ratio(median(ratios), noise(ratios))


def noise(values: Sequence[float]) -> float:
    """How far a value is from the median of all, as a standard deviation that single outliers do not change."""
    middle = median(values)
    return _TO_DEVIATION * median(abs(value - middle) for value in values)
