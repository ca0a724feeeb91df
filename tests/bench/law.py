"""The results of the sweeps of `make bench-growth`, in words and as a table for the size of a host; pure.

It describes where a curve is flat, where it bends and by how much. docs/lab/benchmark.md explains why.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.load import Load
from tests.bench.measure import Series

OURS, BOTH, RAW = "miltscan", "miltscan and clamd", "raw clamd client"
Sweeps = Mapping[str, Sequence[Series]]
"""The series of each sweep, by the quantity that grows."""

_FLAT = 0.9  # of the highest rate
_DAY = 86_400
_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line, and the relative distance of the point farthest from it; negative if it lies below."""

    fixed: float
    slope: float
    worst_at: float
    worst: float


def words(sweeps: Sweeps) -> Iterator[str]:
    """Yield a list item for each law whose sweep was measured."""
    yield from _by_sessions(sweeps.get("sessions", ()))
    yield from _by_size(sweeps.get("size", ()))
    yield from _by_number("servers", sweeps.get("servers", ()))
    yield from _by_number("workers", sweeps.get("workers", ()))


def flat(points: Mapping[int, float]) -> tuple[int, int]:
    """Return the first and last place around the highest value with no value below nine tenths of it between them."""
    places = sorted(points)
    top = places.index(max(places, key=lambda place: points[place]))
    lowest = _FLAT * points[places[top]]
    first = last = top
    while first > 0 and points[places[first - 1]] >= lowest:
        first -= 1
    while last + 1 < len(places) and points[places[last + 1]] >= lowest:
        last += 1
    return places[first], places[last]


def line(points: Mapping[float, float]) -> Line:
    """Fit a line to two or more points by least squares of relative errors, so that small values count as much."""
    weights = {x: 1 / y**2 for x, y in points.items()}
    total = sum(weights.values())
    mean_x = sum(weights[x] * x for x in points) / total
    mean_y = sum(weights[x] * y for x, y in points.items()) / total
    above = sum(weights[x] * (x - mean_x) * (y - mean_y) for x, y in points.items())
    slope = above / sum(weights[x] * (x - mean_x) ** 2 for x in points)
    fixed = mean_y - slope * mean_x
    off = {x: y / (fixed + slope * x) - 1 for x, y in points.items()}
    worst_at = max(off, key=lambda x: abs(off[x]))
    return Line(fixed, slope, worst_at, off[worst_at])


def sizing(sweeps: Sweeps) -> Iterator[str]:
    """Yield a row for each size: the messages that keep one processor busy for a day, and miltscan's part of it.

    A worker is one Python process and uses one processor at most. The number of clamd threads, each on its own
    processor, that one worker keeps busy is the ratio of a scan's time to the worker's part of a message.
    """
    series = [*sweeps.get("size", ()), *sweeps.get("mixed", ())]
    yield "| size | CPU of both, ms | miltscan's part | messages a day, one processor | clamd threads a worker |"
    yield "| --- | --- | --- | --- | --- |"
    ours = {one.load: _middle(one, "cpu") for one in series if one.filter == OURS}
    for one in series:
        if one.filter == BOTH and one.load in ours:
            both, own = _middle(one, "cpu"), ours[one.load]
            threads = max(round((both - own) / own), 1)
            yield f"| {one.load.size} | {both:.2f} | {own:.2f} | {_rounded(_DAY * 1000 / both)} | {threads} |"


def _by_sessions(series: Sequence[Series]) -> Iterator[str]:
    for size in dict.fromkeys(one.load.size for one in series if one.filter == OURS):
        chosen = {one.load.sessions: one for one in series if (one.filter, one.load.size) == (OURS, size)}
        rates = {sessions: _middle(one, "rate") for sessions, one in chosen.items()}
        first, last = flat(rates)
        few, most, top = min(rates), max(rates), max(rates.values())
        queue = most / rates[most]  # seconds until each session has had its turn
        waits = _middle(chosen[most], "p99") / 1000 / queue
        where = f"from {first} to {last} sessions" if first != last else f"at {first} alone"
        yield (
            f"- **Sessions, {size}:** the rate is flat (within a tenth of its highest, {top:,.0f} a second) {where}; "
            f"with {few} it is {rates[few] / top:.0%} of that, with {most} {rates[most] / top:.0%}. The p99 of {most} "
            f"is {waits:.1f} times their number divided by the rate."
        )


def _by_size(series: Sequence[Series]) -> Iterator[str]:
    costs = {one.load.sizes[0] / _MEGABYTE: _middle(one, "cpu") for one in series if one.filter == OURS}
    if len(costs) > 1:
        found = line(costs)
        farthest = Load((round(found.worst_at * _MEGABYTE),), 1, 1).size
        yield (
            f"- **Size:** a message costs miltscan {found.fixed:.2f} ms of CPU and {found.slope:.2f} ms more for each "
            f"MB; farthest from that is {farthest} with {found.worst:+.0%}."
        )
    rates = {one.load: _middle(one, "rate") for one in series if one.filter == RAW}
    shares = [
        f"{one.load.size} {_middle(one, 'rate') / rates[one.load]:.2f}"
        for one in series
        if one.filter == OURS and one.load in rates
    ]
    if shares:
        yield f"- **Size, rate as a part of the raw client's:** {', '.join(shares)}."


def _by_number(name: str, series: Sequence[Series]) -> Iterator[str]:
    """Yield the ratio of each number's rate to that of the lowest number, over all loads of the sweep."""
    numbers = sorted({_number(one) for one in series})
    rates = {(_number(one), one.load): _middle(one, "rate") for one in series}
    ratios = []
    for number in numbers[1:]:
        times = [rates[number, load] / rates[numbers[0], load] for load in dict.fromkeys(one.load for one in series)]
        ratios.append(
            f"{number} {median(times):.2f}" + (f" ({min(times):.2f} to {max(times):.2f})" if times[1:] else "")
        )
    if ratios:
        yield f"- **{name.capitalize()}, rate as times that of {numbers[0]}:** {', '.join(ratios)}."


def _rounded(value: float) -> str:
    """Round to three significant digits."""
    return f"{float(f'{value:.3g}'):,.0f}"


def _number(one: Series) -> int:
    return int(one.filter.split()[0])  # "2 workers"


def _middle(one: Series, quantity: str) -> float:
    return median(one.values(quantity))
