"""Adds up what all processes count, for a scrape; it counts nothing itself.

prometheus_client does the sums. It knows no exemplars where several processes count, and shows a gauge for as long as
its file exists: here the exemplars join their samples, and a gauge that is NaN is nobody's any more
(`Family.forget`) and left out.
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
    """All processes' metrics together, read anew whenever the registry is asked."""
    registry = CollectorRegistry()
    registry.register(_Merged(directory))
    return registry


class _Merged(Collector):
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        """Every metric; OSError if the directory is gone, RuntimeError or struct.error for a broken file."""
        newest = exemplars.read_exemplars(self._directory)
        files = [str(file) for file in self._directory.iterdir() if file.suffix == ".db" and _begun(file)]
        for metric in MultiProcessCollector.merge(files):  # type: ignore[no-untyped-call]
            metric.samples = [
                _with_exemplar(sample, newest) for sample in metric.samples if sample.value == sample.value
            ]
            yield metric


def _begun(file: Path) -> bool:
    """False for one that a process is just making: it is empty for a moment, and would fail the whole scrape."""
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
