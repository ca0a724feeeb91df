"""Targets for the cost of miltscan compared with others, and whether a measurement meets them; pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.bench import figures
from tests.bench.figures import Ratio
from tests.bench.filters import BASELINE
from tests.bench.load import Load
from tests.bench.measure import Series

OURS = "miltscan"
_ANY: tuple[int, ...] = ()
_SMALL, _MIDDLE, _LARGE = (1_000,), (30_000,), (1_000_000,)


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for the ratio of a quantity to that of another filter, for one size and some numbers of sessions."""

    quantity: str
    sizes: tuple[int, ...]
    limit: float
    against: str = "clamav-milter"
    sessions: tuple[int, ...] = _ANY
    at_least: bool = False

    def covers(self, load: Load) -> bool:
        """Return whether the target applies to this load."""
        return load.sizes == self.sizes and (not self.sessions or load.sessions in self.sessions)

    def beyond(self, ratio: Ratio) -> float:
        """Return the distance of the ratio beyond the limit; negative if the ratio meets it."""
        return self.limit - ratio.value if self.at_least else ratio.value - self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result of one load for one target."""

    target: Target
    load: Load
    ratio: Ratio

    @property
    def missed(self) -> bool:
        """Whether the target is missed by more than the noise."""
        return self.target.beyond(self.ratio) > self.ratio.noise

    def __str__(self) -> str:
        return _said(self.target.beyond(self.ratio), missed=self.missed)


@dataclass(frozen=True, slots=True)
class Bound:
    """The upper bound for a figure of miltscan alone."""

    what: str
    limit: float
    unit: str

    def __str__(self) -> str:
        return f"<= {self.limit:g} {self.unit}"


@dataclass(frozen=True, slots=True)
class Figure:
    """The measurement for a bound in its unit, with a value for each round; `note` is for people."""

    bound: Bound
    values: tuple[float, ...]
    note: str = ""

    @property
    def middle(self) -> float:
        """The median of the rounds."""
        return figures.spread(self.values).median

    @property
    def noise(self) -> float:
        """The noise of the rounds, as for a ratio."""
        return figures.noise(self.values)

    @property
    def missed(self) -> bool:
        """Whether the bound is exceeded by more than the noise."""
        return self.middle - self.bound.limit > self.noise

    def __str__(self) -> str:
        return _said(self.middle - self.bound.limit, missed=self.missed)


def _said(beyond: float, *, missed: bool) -> str:
    if beyond <= 0:
        return "met"
    return "MISSED" if missed else "beyond, within the noise"


TARGETS = (
    Target("together", _SMALL, 1.1),
    Target("together", _MIDDLE, 1.35),
    Target("together", _LARGE, 1.35),
    Target("rate", _SMALL, 1.2, sessions=(8, 64), at_least=True),
    Target("rate", _MIDDLE, 1.1, sessions=(8, 64), at_least=True),
    *(Target("p99", size, 1.0) for size in (_SMALL, _MIDDLE, _LARGE)),
    *(Target("rate", size, 0.95, "raw clamd client", at_least=True) for size in (_MIDDLE, _LARGE)),
)

NO_WORSE = tuple(
    Target(quantity, size, 1.0, BASELINE, at_least=quantity == "rate")
    for quantity in ("cpu", "rate", "p99")
    for size in (_SMALL, _MIDDLE, _LARGE)
)


def judged(measured: Sequence[Series], targets: Sequence[Target] = TARGETS) -> Iterator[Judgement]:
    """Judge each load by each target that covers it, if both sides were measured."""
    yield from _judged(measured, targets, figures.noise)


def regressions(measured: Sequence[Series]) -> Iterator[Judgement]:
    """Judge each load by the baseline; a missed one is worse than the baseline by more than the noise."""
    yield from _judged(measured, NO_WORSE, figures.wide_noise)


def _judged(
    measured: Sequence[Series], targets: Sequence[Target], noise: Callable[[Sequence[float]], float]
) -> Iterator[Judgement]:
    found = {(series.filter, series.load): series for series in measured}
    for target in targets:
        for (name, load), ours in found.items():
            theirs = found.get((target.against, load))
            if name == OURS and target.covers(load) and theirs:
                ratio = figures.ratio(ours.values(target.quantity), theirs.values(target.quantity), noise)
                yield Judgement(target, load, ratio)
