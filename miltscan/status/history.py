"""The last quarter of an hour: rates from counters, quantiles from histogram buckets, in bounded memory. Pure.

It receives the numbers at each step and keeps what happened between two steps. A counter that fell was reset, as in
Prometheus's `rate`: all that it counts is new, so no rate is negative.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TypeVar

from miltscan.core.verdict import Outcome
from miltscan.status.samples import Numbers

STEP = 5.0
"""Seconds between two points."""
SPAN = 900.0
"""Seconds of history that are kept."""
WINDOW = 30.0
"""Seconds over which the latency at each point of a plot is calculated."""
QUANTILES = (0.5, 0.95, 0.99)
_GAUGES = ("sessions", "transactions_in_flight")
_QUEUES = "queue_entries"

Key = TypeVar("Key", str, float)
Buckets = Mapping[float, float]
"""The number of values up to each bound, the last bound being +Inf, as in a Prometheus histogram."""


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in the `seconds` before the moment `at` (Unix time), and the gauges at that moment.

    `quantiles` are the `QUANTILES` of the latency over the last `WINDOW` seconds, calculated once.
    """

    at: float
    seconds: float
    messages: Mapping[str, float]
    unscanned: Mapping[str, float]
    not_stored: float
    latency: Buckets
    gauges: Mapping[str, float]
    queues: Mapping[str, float]
    quantiles: Sequence[float | None] = ()


@dataclass(slots=True)
class History:
    """The points of the last `SPAN` seconds, oldest first."""

    points: deque[Point] = field(default_factory=lambda: deque(maxlen=int(SPAN / STEP)))
    _former: Mapping[tuple[str, str], float] | None = None
    _clock: float = 0.0

    def add(self, numbers: Numbers, at: float, clock: float) -> None:
        """Add the numbers at Unix time `at`; `clock` is a monotonic time in seconds. The first call adds no point."""
        now = _counters(numbers)
        former, seconds = self._former, clock - self._clock
        self._former, self._clock = now, clock
        if former is None or seconds <= 0:
            return
        grown = {key: increase(former.get(key, 0.0), value) for key, value in now.items()}
        point = Point(
            at,
            seconds,
            messages=_of("messages", grown),
            unscanned=_of("unscanned", grown),
            not_stored=sum(_of("not stored", grown).values()),
            latency={float(bound): count for bound, count in _of("latency", grown).items()},
            gauges={name: numbers.total(name) or 0.0 for name in _GAUGES},
            queues=numbers.by(_QUEUES, "queue"),
        )
        window = [*self.last(WINDOW - seconds), point]
        self.points.append(replace(point, quantiles=latency(window, *QUANTILES)))

    def last(self, seconds: float) -> list[Point]:
        """Return the points that cover the last so many seconds."""
        found: list[Point] = []
        covered = 0.0
        for point in reversed(self.points):
            if covered >= seconds:
                break
            covered += point.seconds
            found.append(point)
        return found[::-1]


def _counters(numbers: Numbers) -> dict[tuple[str, str], float]:
    """Return the counters to keep; an outcome without a message has 0, so that its first message counts."""
    kinds = {
        "messages": dict.fromkeys(map(str, Outcome), 0.0) | numbers.by("messages_total", "outcome"),
        "unscanned": numbers.by("unscanned_total", "reason"),
        "not stored": {"": numbers.total("quarantine_put_errors_total") or 0.0},
        "latency": numbers.by("message_duration_seconds_bucket", "le"),
    }
    return {(kind, key): value for kind, values in kinds.items() for key, value in values.items()}


def _of(wanted: str, grown: Mapping[tuple[str, str], float]) -> dict[str, float]:
    return {key: value for (kind, key), value in grown.items() if kind == wanted}


def increase(before: float, after: float) -> float:
    """Return how much a counter grew; one that fell was reset to 0."""
    return after - before if after >= before else after


def messages(points: Iterable[Point]) -> dict[str, float]:
    """Return the number of messages in these points by outcome."""
    return dict.fromkeys(map(str, Outcome), 0.0) | _sum(point.messages for point in points)


def unscanned(points: Iterable[Point]) -> dict[str, float]:
    """Return the number of messages in these points that were not scanned completely, by reason."""
    return _sum(point.unscanned for point in points)


def _sum(counts: Iterable[Mapping[Key, float]]) -> dict[Key, float]:
    sums: dict[Key, float] = {}
    for one in counts:
        for key, count in one.items():
            sums[key] = sums.get(key, 0.0) + count
    return sums


def rates(points: Sequence[Point]) -> dict[str, float] | None:
    """Return the messages per second over these points by outcome; None without points."""
    seconds = sum(point.seconds for point in points)
    return {key: count / seconds for key, count in messages(points).items()} if seconds else None


def latency(points: Iterable[Point], *quantiles: float) -> list[float | None]:
    """Return these quantiles, in seconds, of the time added to the messages in these points; None without messages."""
    together = _sum(point.latency for point in points)
    return [quantile(wanted, together) for wanted in quantiles]


def quantile(wanted: float, buckets: Buckets) -> float | None:
    """Return a quantile as Prometheus's `histogram_quantile` does: values are spread evenly within their bucket."""
    bounds = sorted(buckets)
    if not bounds or bounds[-1] != inf or not buckets[inf]:
        return None
    rank = wanted * buckets[inf]
    lower = below = 0.0
    for bound in bounds:
        if buckets[bound] >= rank and buckets[bound] > below:
            within = (rank - below) / (buckets[bound] - below)
            return lower if bound == inf else lower + (bound - lower) * within
        lower, below = (lower, below) if bound == inf else (bound, buckets[bound])
    return lower
