"""Health: why the service is not alive or not ready, read from the metrics. It answers no request. Pure."""

from collections.abc import Iterator

from miltscan.config.engines import EngineSettings
from miltscan.config.settings import Settings
from miltscan.core.probe import ProbeKind
from miltscan.status.samples import Numbers

_SELF_TESTS_MISSED = 3  # a server whose last passed self-test is older than this many intervals does not count
_PROBES_MISSED = 3


def no_worker(numbers: Numbers) -> list[str]:
    """Return why /healthz is not ok: a line if no worker is running."""
    return [] if (numbers.total("workers") or 0) >= 1 else ["no worker is running"]


def not_ready(numbers: Numbers, settings: Settings, now: float) -> list[str]:
    """Return why /readyz is not ok, a line each: workers, engines, and the probes where readiness requires them."""
    return unready(numbers, settings, now) + (unproven(numbers, settings, now) if settings.probe.readiness else [])


def unready(numbers: Numbers, settings: Settings, now: float) -> list[str]:
    """Return why the service cannot scan, a line each.

    It can if a worker is running, MTAs can reach it, and each required engine has a server that is up for every worker
    and passed its self-test lately. Optional engines do not count.
    """
    required = [engine for engine in settings.engines if engine.required]
    faults = [fault for engine in required for fault in _faults(numbers, engine, now)]
    lost = [one.labels["socket"] for one in numbers.series("socket_bound") if not one.value]
    unreachable = [f"{key}: its file is missing or belongs to another process; the log has socket_lost" for key in lost]
    return no_worker(numbers) + unreachable + (faults if required else ["no engine is required"])


def degraded(numbers: Numbers) -> list[str]:
    """Return what is wrong although mail is scanned as usual, a line each. /readyz names it and stays ok.

    A load balancer must not remove a scanner because of its log.
    """
    return [*_log_faults(numbers), *_folder_faults(numbers)]


def _folder_faults(numbers: Numbers) -> Iterator[str]:
    if count := numbers.total("metrics_in_memory"):
        yield f"exporter.directory cannot be written, and counts stay in memory ({_processes(count)})"


def _log_faults(numbers: Numbers) -> Iterator[str]:
    stalled, lost = numbers.total("log_stalled"), numbers.total("log_lines_lost_total") or 0
    if stalled:
        yield f"the log cannot be written by {_processes(stalled)}; lines lost since the start: {lost:g}"


def _processes(number: float) -> str:
    return "1 process" if number == 1 else f"{number:g} processes"


def _faults(numbers: Numbers, engine: EngineSettings, now: float) -> list[str]:
    """Return why each server of an engine cannot scan; empty if one of them can."""
    name, within = engine.name, _SELF_TESTS_MISSED * engine.canary_interval
    faults = []
    for sample in numbers.series("canary_last_success_timestamp_seconds", engine=name):
        server, age = sample.labels["server"], now - sample.value
        if age > within:
            faults.append(f"{name} {server} last passed its self-test {age:.0f} s ago; the limit is {within:g} s")
        elif not numbers.total("engine_up", engine=name, server=server):
            faults.append(f"{name} {server} is down; it last passed its self-test {age:.0f} s ago")
        else:
            return []
    return faults or [f"{name}: no server has passed its self-test"]


def unproven(numbers: Numbers, settings: Settings, now: float) -> list[str]:
    """Return how the last probes failed, a line each; empty if no probes are sent.

    The status page shows it even if readiness does not require it: engines that are up do not prove that mail is
    scanned.
    """
    probe = settings.probe
    within = _PROBES_MISSED * (probe.interval + probe.timeout)
    return [*_unproven(numbers, now, within)] if probe.interval else []


def _unproven(numbers: Numbers, now: float, within: float) -> Iterator[str]:
    ran = numbers.by("probe_last_run_timestamp_seconds", "message")
    for kind in ProbeKind:
        if kind not in ran:
            yield f"{kind} probe: none has ended yet"
        elif now - ran[kind] > within:
            yield f"{kind} probe: the last one ended {now - ran[kind]:.0f} s ago; the limit is {within:g} s"
        elif not numbers.total("probe_success", message=kind):
            yield f"{kind} probe: failed {now - ran[kind]:.0f} s ago"
