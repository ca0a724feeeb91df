"""When a target is missed: beyond its limit by more than the noise of the rounds."""

from itertools import product

import pytest

from tests.bench import loads, targets
from tests.bench.figures import Ratio
from tests.bench.filters import BASELINE
from tests.bench.load import Load
from tests.bench.targets import TARGETS, Bound, Figure, Judgement, Target
from tests.unit.bench.support import SMALL, series

AT_MOST = Target("cpu", (1_000,), 0.6)
AT_LEAST = Target("rate", (1_000,), 1.2, at_least=True)


@pytest.mark.parametrize(
    ("target", "value", "noise", "said"),
    [
        (AT_MOST, 0.6, 0, "met"),
        (AT_MOST, 0.61, 0, "MISSED"),
        (AT_MOST, 0.61, 0.02, "beyond, within the noise"),
        (AT_MOST, 0.7, 0.02, "MISSED"),
        (AT_MOST, 0.1, 0, "met"),
        (AT_LEAST, 1.2, 0, "met"),
        (AT_LEAST, 1.19, 0, "MISSED"),
        (AT_LEAST, 1.19, 0.02, "beyond, within the noise"),
        (AT_LEAST, 1.1, 0.02, "MISSED"),
        (AT_LEAST, 9, 0, "met"),
    ],
)
def test_missed_by_more_than_the_noise(target: Target, value: float, noise: float, said: str) -> None:
    """A target is missed only beyond its limit, and only by more than the noise."""
    judgement = Judgement(target, SMALL, Ratio(value, noise))
    assert (str(judgement), judgement.missed) == (said, said == "MISSED")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((1,), "met"),
        ((0.1, 0.2, 9), "met"),
        ((1.01,), "MISSED"),
        ((1, 1.01, 1.02), "beyond, within the noise"),
        ((1.2, 1.21, 1.22), "MISSED"),
    ],
)
def test_a_figure_of_miltscan_alone(values: tuple[float, ...], said: str) -> None:
    """The median of the rounds counts, and only a miss by more than the noise."""
    figure = Figure(Bound("something", 1, "s"), values)
    assert (str(figure), figure.missed, str(figure.bound)) == (said, said == "MISSED", "<= 1 s")


def test_rates_of_one_session_have_no_target() -> None:
    """Rates of one session have no target, because they depend on clamd's latency."""
    judged = {(one.quantity, load.sessions) for one in TARGETS for load in loads.many() if one.covers(load)}
    assert ("together", 1) in judged
    small = {load.sessions for one in TARGETS for load in loads.many() if one.quantity == "rate" and one.covers(load)
             and load.sizes == (1_000,)}  # fmt: skip
    assert small == {8, 64}


def test_ours_is_compared_with_theirs_at_the_same_load() -> None:
    """Each target of a size is judged if both sides were measured."""
    other = Load((1_000,), 256, 1, 256)
    measured = [series("miltscan", [1, 2]), series("clamav-milter", [2, 4]), series("miltscan", [1, 2], other)]
    found = [*targets.judged(measured)]
    assert {(one.target.quantity, one.load, one.ratio.value) for one in found} == {
        (quantity, SMALL, 0.5) for quantity in ("together", "rate", "p99")
    }
    assert [one.target.quantity for one in found if one.missed] == ["rate"]


@pytest.mark.parametrize(
    ("values", "worse"),
    [
        ([1, 1, 1], set()),
        ([0.9, 0.9, 0.9], {"rate"}),
        ([1.1, 1.1, 1.1], {"cpu", "p99"}),
        ([1.0625, 1.125, 1.1875], set()),  # by exactly the noise, twice the standard deviation
        ([1.06, 1.1, 1.14], {"cpu", "p99"}),
        ([0.86, 0.9, 0.94], {"rate"}),
    ],
)
def test_worse_than_the_baseline_by_more_than_the_noise(values: list[float], worse: set[str]) -> None:
    """CPU time and p99 are worse when they are higher, the rate when it is lower."""
    found = [*targets.regressions([series("miltscan", values), series(BASELINE, [1, 1, 1])])]
    assert len(found) == 3
    assert {one.target.quantity for one in found if one.missed} == worse


def test_every_load_is_compared_with_the_baseline() -> None:
    """Each load of bench-quick has CPU time, rate and p99."""
    compared = {(one.quantity, load) for one in targets.NO_WORSE for load in loads.many() if one.covers(load)}
    assert compared == set(product(("cpu", "rate", "p99"), loads.many()))


def test_without_the_other_side_nothing_is_judged() -> None:
    """A run without clamav-milter has no targets to miss."""
    assert [*targets.judged([series("miltscan", [1])])] == []


def test_every_session_has_a_message() -> None:
    """Every session has a message; otherwise fewer sessions would be open than the load specifies."""
    every = [*loads.many(), *loads.many(2), *loads.mixed(), *loads.single()]
    assert [load for load in every if load.in_session < 1] == []
    assert [load for load in every if load.messages <= (load.sessions - 1) * load.in_session] == []
