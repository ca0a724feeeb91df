"""Measurements made up for tests."""

from tests.bench.load import Load
from tests.bench.measure import Round, Series

SMALL = Load((1_000,), 256, 8, 32)


def series(name: str, values: list[float], load: Load = SMALL) -> Series:
    """Return rounds in which every quantity has the same value."""
    return Series(name, load, tuple(Round(value, value, value, value, value, value) for value in values))
