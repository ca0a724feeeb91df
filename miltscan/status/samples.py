"""The metrics at one moment as plain values; a lookup returns None for what does not exist. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

_PREFIX = "miltscan_"


class Sample(NamedTuple):
    """One value of a metric, and its labels."""

    labels: Mapping[str, str]
    value: float


class Numbers:
    """All samples of one collection, by name without the prefix `miltscan_`. A missing metric is not an error."""

    def __init__(self, samples: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for name, labels, value in samples:
            self._samples.setdefault(name.removeprefix(_PREFIX), []).append(Sample(labels, value))

    def series(self, name: str, **labels: str) -> list[Sample]:
        """Return every sample of a metric with these labels."""
        return [sample for sample in self._samples.get(name, []) if labels.items() <= sample.labels.items()]

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum of the samples with these labels; None without samples."""
        found = self.series(name, **labels)
        return sum(sample.value for sample in found) if found else None

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Return the sum for each value of one label."""
        sums: dict[str, float] = {}
        for sample in self.series(name, **labels):
            key = sample.labels.get(label, "")
            sums[key] = sums.get(key, 0.0) + sample.value
        return sums
