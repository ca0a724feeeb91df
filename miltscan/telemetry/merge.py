"""Adds up the counts of all processes for a scrape; it counts nothing itself.

prometheus_client calculates the sums. With several processes it has no exemplars, and it shows a gauge as long as its
file exists. This module adds the exemplars to their samples and leaves out a gauge that is NaN (`Family.forget`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from miltscan.telemetry import exemplars

_EXEMPLARS_ON = ("_bucket", "_total")


def collected(directory: Path) -> CollectorRegistry:
    """Return the metrics of all processes; each collection reads the files again."""
    registry = CollectorRegistry()
    registry.register(_Merged(directory))
    return registry


class _Merged(Collector):
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        """Return every metric; OSError if the directory is gone, RuntimeError or struct.error for a broken file."""
        newest = exemplars.read_exemplars(self._directory)
        files = [str(file) for file in self._directory.iterdir() if file.suffix == ".db" and _begun(file)]
        for metric in MultiProcessCollector.merge(files):  # type: ignore[no-untyped-call]
            metric.samples = [
                _with_exemplar(sample, newest) for sample in metric.samples if sample.value == sample.value
            ]
            yield metric


def _begun(file: Path) -> bool:
    """Return False for a file that a process is just creating: it is empty and would fail the whole scrape."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


def _with_exemplar(sample: Sample, newest: Mapping[str, exemplars.Exemplar]) -> Sample:
    if not sample.name.endswith(_EXEMPLARS_ON):
        return sample
    found = newest.get(exemplars.series(sample.name, tuple(sample.labels), tuple(sample.labels.values())))
    return (
        sample._replace(exemplar=Exemplar({"queue_id": found.queue_id}, found.value, found.time)) if found else sample
    )
