"""Health: why the service is not alive or not ready, read from the metrics. It answers no request."""

import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client import Gauge

from miltscan.config.settings import ProbeSettings, Settings
from miltscan.core.probe import ProbeKind
from miltscan.status.samples import Numbers
from miltscan.telemetry import metrics
from miltscan.telemetry.family import Family
from miltscan.telemetry.merge import collected

_CANARIES_MISSED = 3  # a service whose last passed canary is older than this many intervals is not ready
_PROBES_MISSED = 3


def ready_within(settings: Settings) -> float:
    """How old (seconds) a passed canary may be for the service to be ready."""
    return _CANARIES_MISSED * max(engine.canary_interval for engine in settings.engines if engine.required)


Samples = Mapping[str, Mapping[str, float]]
"""Values by metric name and by the value of the label `server` or `message` (empty where there is neither)."""


def samples_in(directory: Path) -> Samples:
    """Return the samples of every metric in the metrics directory."""
    found: dict[str, dict[str, float]] = {}
    for metric in collected(directory).collect():
        for sample in metric.samples:
            label = sample.labels.get("server") or sample.labels.get("message", "")
            found.setdefault(sample.name, {})[label] = sample.value
    return found


def unready(samples: Samples, now: float, within: float) -> list[str]:
    """Why the service is not ready, a line each; empty if a worker runs and has a server to ask.

    That is a server that every worker takes for up, and that passed a canary at most `within` seconds ago.
    """
    passed = samples.get(metrics.CANARY_PASSED.name, {})
    up = samples.get(metrics.ENGINE_UP.name, {})
    faults = [_fault(server, now - then, within, up=bool(up.get(server))) for server, then in passed.items()]
    if None in faults:
        return no_worker(samples)
    return no_worker(samples) + ([fault for fault in faults if fault] or ["no engine server has passed its canary"])


def unproven(samples: Samples, now: float, probe: ProbeSettings) -> list[str]:
    """What the last probes say against the service, a line each: one that is too old says nothing any more."""
    within = _PROBES_MISSED * (probe.interval + probe.timeout)
    return [reason for kind in ProbeKind if (reason := _unproven(samples, now, within, kind))]


def _unproven(samples: Samples, now: float, within: float, kind: ProbeKind) -> str:
    ran, well = (samples.get(name, {}).get(kind) for name in (metrics.PROBE_LAST_RUN.name, metrics.PROBE_SUCCESS.name))
    if ran is None:
        return f"{kind} probe: none has ended yet"
    if now - ran > within:
        return f"{kind} probe: the last one ended {now - ran:.0f} s ago, more than {within:g}"
    return "" if well else f"{kind} probe: failed {now - ran:.0f} s ago"


def why_unready(numbers: Numbers, settings: Settings) -> list[str]:
    """Return why the service is not ready, for the status page."""
    samples = _picked(numbers, "server", metrics.CANARY_PASSED, metrics.ENGINE_UP, metrics.WORKERS)
    return unready(samples, time.time(), ready_within(settings))


def why_unproven(numbers: Numbers, settings: Settings) -> list[str]:
    """Whether or not /readyz asks for it: that nothing is scanned must not look well."""
    samples = _picked(numbers, "message", metrics.PROBE_LAST_RUN, metrics.PROBE_SUCCESS)
    return unproven(samples, time.time(), settings.probe) if settings.probe.interval else []


def _picked(numbers: Numbers, label: str, *families: Family[Gauge]) -> Samples:
    return {family.name: numbers.by(family.name.removeprefix("miltscan_"), label) for family in families}


def not_ready(samples: Samples, settings: Settings) -> list[str]:
    """Return why /readyz is not ok, a line each: workers, engines, and the probes where readiness requires them."""
    now, probe = time.time(), settings.probe
    asked = probe.readiness and probe.interval  # a reload brings the one without the other, which takes a restart
    return unready(samples, now, ready_within(settings)) + (unproven(samples, now, probe) if asked else [])


def _fault(server: str, age: float, within: float, *, up: bool) -> str | None:
    if age > within:
        return f"{server}: passed its canary {age:.0f} s ago, more than {within:g}"
    return None if up else f"{server}: is down, its canary passed {age:.0f} s ago"


def no_worker(samples: Samples) -> list[str]:
    """Return the line for a service without a worker, if no worker runs."""
    running = samples.get(metrics.WORKERS.name, {}).get("", 0)
    return [] if running >= 1 else ["no worker runs"]
