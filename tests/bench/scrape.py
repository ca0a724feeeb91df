"""The cost of a scrape: `python -m tests.bench.scrape` fills every metric like a busy service, and times responses.

Four workers, two servers of clamd, four size classes, fifty signatures: the CPU time of one response.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from miltscan.config.settings import Settings
from miltscan.exporter import service
from miltscan.exporter.exchange import Request
from miltscan.telemetry import family, mail_metrics, metrics
from miltscan.telemetry.exemplars import EXEMPLARS

_WORKERS = 4
_SERVERS = ("unix:/run/clamav/clamd.ctl", "inet:3310@scanner.example.test")
_SCRAPES = 200
_ACCEPT = {
    "text": {},
    "OpenMetrics": {"accept": "application/openmetrics-text; version=1.0.0"},
    "OpenMetrics, gzip": {"accept": "application/openmetrics-text; version=1.0.0", "accept-encoding": "gzip"},
}


def fill() -> None:
    """Fill every series that a process can have, histograms with every bucket and its exemplar."""
    for one in metrics.FAMILIES:
        for labels in _labels(one.bounds):
            match one.child(*labels):
                case Counter() as counter:
                    counter.inc()
                case Gauge() as gauge:
                    gauge.set(time.time())
                case Histogram() as histogram:
                    values = histogram._upper_bounds  # noqa: SLF001 - one value for each bucket
                    family.observe(one, labels, [(min(value, 1000), "4AMHZ8Yx012345") for value in values], time.time())
    EXEMPLARS.write()


def _labels(bounds: tuple[family.Label, ...]) -> list[tuple[str, ...]]:
    sets: list[tuple[str, ...]] = [()]
    for label in bounds:
        sets = [(*some, value) for some in sets for value in _values(label)]
    return sets


def _values(label: family.Label) -> tuple[str, ...]:
    open_ended = {
        "server": _SERVERS,
        "signature": tuple(f"Win.Trojan.Agent-{number}-0" for number in range(mail_metrics.SIGNATURES_NAMED)),
    }
    return label.values or open_ended.get(label.name, (f"the {label.name}",))


def _in_child(work: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _filled(directory: Path, slot: str) -> None:
    family.attach(directory, slot)
    fill()


def milliseconds(directory: Path, headers: dict[str, str]) -> float:
    """Return the median CPU time of a response."""
    state = service.ExporterState(directory, Settings())
    request, times = Request("GET", "/metrics", headers), []
    for _ in range(_SCRAPES):
        began = time.process_time()
        response = service.respond(state, request)
        times.append(time.process_time() - began)
    assert len(response.body) > 0
    return statistics.median(times) * 1000


def main() -> None:
    """Print a line for each form of response."""
    with tempfile.TemporaryDirectory() as folder:
        for slot in map(str, range(_WORKERS)):
            _in_child(lambda slot=slot: _filled(Path(folder), slot))  # type: ignore[misc]
        for name, headers in _ACCEPT.items():
            print(f"{milliseconds(Path(folder), headers):6.1f} ms  {name}")  # noqa: T201


if __name__ == "__main__":
    main()
