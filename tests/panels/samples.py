"""Samples of miltscan's metrics minute by minute, as OpenMetrics text for `promtool tsdb create-blocks-from`. Pure."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import product
from typing import Any

from prometheus_client import Counter, Histogram
from prometheus_client.utils import floatToGoString

from miltscan.telemetry.family import Family
from miltscan.telemetry.metrics import FAMILIES

SCRAPES = 120
"""Seconds between two samples of a series: a point of a panel is longer, and each sample costs time to read."""
Key = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a series and its labels."""


class Samples:
    """What one exporter showed at each scrape. Counters stay from scrape to scrape; gauges are set for each."""

    def __init__(self, target: dict[str, str]) -> None:
        """Begin with the counters that exist from the start, all 0; `target` are the labels that Prometheus adds."""
        self._target = target
        self._counts: dict[Key, float] = {}
        self._values: dict[Key, float] = {}
        self._lines: dict[Key, list[str]] = defaultdict(list)
        for family in FAMILIES:
            known = [bound.values for bound in family.bounds]
            if family.kind is Counter and len(known) < 2:
                for labels in product(*known):
                    self.count(family, *labels, by=0)
            elif family.kind is Histogram and not known:
                self._buckets(family, ())

    def count(self, family: Family[Counter], *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        key = self._key(family, labels)
        self._counts[key] = self._counts.get(key, 0) + by

    def observe(self, family: Family[Histogram], value: float, *labels: str) -> None:
        """Add an observation to a histogram."""
        buckets = self._buckets(family, labels)
        bounds = family.parent._upper_bounds  # noqa: SLF001 - it has no public name
        for key in buckets[bisect_left(bounds, value) :]:
            self._counts[key] += 1
        for part, added in (("_sum", value), ("_count", 1)):
            key = self._key(family, labels, part)
            self._counts[key] = self._counts.get(key, 0) + added

    def show(self, family: Family[Any], value: float, *labels: str) -> None:
        """Set a gauge for the next scrape."""
        self._values[self._key(family, labels)] = value

    def show_other(self, name: str, value: float, **labels: str) -> None:
        """Set a series that Prometheus itself makes, such as `up`, for the next scrape."""
        self._values[name, tuple({**self._target, **labels}.items())] = value

    def show_rest(self, skip: Collection[str]) -> None:
        """Set the gauges with closed labels that nothing set: states to 1, all others to 0."""
        done = {*skip, *(name for name, _ in self._values)}
        for family in FAMILIES:
            known = [bound.values for bound in family.bounds]
            left = family.file_type.startswith("gauge") and family.name not in done
            if left and all(known):
                for labels in product(*known):
                    self.show(family, float(family.unit == "1 or 0"), *labels)

    def scrape(self, time: int) -> None:
        """Take a sample of every series; `time` in seconds since 1970."""
        for key, value in (*self._counts.items(), *self._values.items()):
            self._lines[key].append(f" {value:.10g} {time}\n")
        self._values.clear()

    def text(self) -> Iterator[str]:
        """Yield the lines, series by series."""
        for (name, labels), lines in self._lines.items():
            inside = ",".join(f'{label}="{value}"' for label, value in labels)
            yield from (f"{name}{{{inside}}}{line}" for line in lines)
        yield "# EOF\n"

    def names(self) -> set[str]:
        """Return the names of all series so far."""
        return {name for name, _ in self._lines}

    def _key(self, family: Family[Any], labels: tuple[str, ...], part: str = "", **more: str) -> Key:
        own = dict(zip(family.labels, labels, strict=True))
        return f"{family.name}{part}", tuple({**self._target, **own, **more}.items())

    def _buckets(self, family: Family[Histogram], labels: tuple[str, ...]) -> list[Key]:
        bounds = family.parent._upper_bounds  # noqa: SLF001 - it has no public name
        keys = [
            self._key(family, labels, "_bucket", le=floatToGoString(bound))  # type: ignore[no-untyped-call]
            for bound in bounds
        ]
        for key in (*keys, self._key(family, labels, "_sum"), self._key(family, labels, "_count")):
            self._counts.setdefault(key, 0)
        return keys
