"""Health: why the service is not alive or not ready, read from the metrics. It answers no request. Pure."""

from collections.abc import Iterator, Mapping

from miltscan.config.engines import EngineSettings
from miltscan.config.settings import Settings
from miltscan.config.units import show_size
from miltscan.core import faults
from miltscan.core.finding import Finding, Level, error
from miltscan.core.probe import ProbeKind
from miltscan.status.page import HealthFindings
from miltscan.status.samples import Numbers

_SELF_TESTS_MISSED = 3  # a server whose last passed self-test is older than this many intervals does not count
_PROBES_MISSED = 3
_SILENCE = 15.0  # seconds without upkeep, which a process does every 5 s, after which it hangs

_KEEPER_SILENCE = 300.0  # seconds without a round, as of MiltscanKeeperDown; it makes several a minute

Reasons = Mapping[tuple[str, str], str]
"""Why servers that are down fail their self-tests, by engine and server, as far as it is known."""


def all_findings(numbers: Numbers, settings: Settings, now: float, reasons: Reasons) -> HealthFindings:
    """Return all that is wrong, for the status page."""
    return HealthFindings(
        unready(numbers, settings, now, reasons), unproven(numbers, settings, now), degraded(numbers, settings, now)
    )


def no_worker(numbers: Numbers) -> list[Finding]:
    """Return why /healthz is not ok: one finding if no worker is running."""
    return [] if (numbers.total("workers") or 0) >= 1 else [faults.none_running()]


def not_ready(numbers: Numbers, settings: Settings, now: float, reasons: Reasons | None = None) -> list[Finding]:
    """Return why /readyz is not ok: workers, engines, and the probes where readiness requires them."""
    required = unproven(numbers, settings, now) if settings.probe.readiness else []
    return unready(numbers, settings, now, reasons) + required


def unready(numbers: Numbers, settings: Settings, now: float, reasons: Reasons | None = None) -> list[Finding]:
    """Return why the service cannot scan.

    It can if a worker is running, MTAs can reach it, and each required engine has a server that is up for every worker
    and passed its self-test lately. Optional engines do not count.
    """
    required = [engine for engine in settings.engines if engine.required]
    found = [fault for engine in required for fault in _faults(numbers, engine, now, reasons or {})]
    lost = [one.labels["socket"] for one in numbers.series("socket_bound") if not one.value]
    workers = no_worker(numbers) or [one for one in hanging(numbers, now) if one.level is Level.ERROR]
    none = error("engines", "none is required", "set required = true for an engine")
    return [*workers, *map(faults.socket_lost, lost), *(found if required else [none])]


def degraded(numbers: Numbers, settings: Settings, now: float) -> list[Finding]:
    """Return what is wrong although mail is scanned as usual. /readyz names it and stays ok.

    A load balancer must not remove a scanner because of its log.
    """
    hung = [one for one in hanging(numbers, now) if one.level is not Level.ERROR]
    return [*hung, *_log_faults(numbers), *_folder_faults(numbers, settings), *_keeper_faults(numbers, now)]


def hanging(numbers: Numbers, now: float) -> list[Finding]:
    """Return the workers that hang; an error for each if all of them do. The supervisor replaces them."""
    seen = numbers.by("process_upkeep_timestamp_seconds", "process")
    silent = {name: now - at for name, at in seen.items() if name.isdecimal()}
    hung = {name: silence for name, silence in silent.items() if silence > _SILENCE}
    return [faults.worker_hangs(name, silence, alone=len(hung) == len(silent)) for name, silence in hung.items()]


def _folder_faults(numbers: Numbers, settings: Settings) -> Iterator[Finding]:
    if count := numbers.total("metrics_in_memory"):
        yield faults.metrics_in_memory(count)
    size = settings.limits.message_size
    for folder, remedy in (("spool", faults.SPOOL_ROOM), ("quarantine", faults.QUARANTINE_ROOM)):
        free = numbers.total(f"{folder}_free_bytes")
        if free is not None and free < size:
            yield faults.lacks_room(f"{folder}.directory", free, show_size(size), remedy)


def _keeper_faults(numbers: Numbers, now: float) -> Iterator[Finding]:
    last = numbers.total("keeper_last_round_timestamp_seconds")
    if numbers.total("keeper_configured") and last and now - last > _KEEPER_SILENCE:
        yield faults.keeper_silent(now - last)


def _log_faults(numbers: Numbers) -> Iterator[Finding]:
    if stalled := numbers.total("log_stalled"):
        yield faults.log_stalled(stalled, numbers.total("log_lines_lost_total") or 0)


def _faults(numbers: Numbers, engine: EngineSettings, now: float, reasons: Reasons) -> list[Finding]:
    """Return why each server of an engine cannot scan; empty if one of them can."""
    name, within = engine.name, _SELF_TESTS_MISSED * engine.canary_interval
    log = faults.CLAMD_LOG if engine.type == "clamd" else faults.READ_LOG
    found, known = [], set()
    for sample in numbers.series("canary_last_success_timestamp_seconds", engine=name):
        server, age = sample.labels["server"], now - sample.value
        subject = f"{name} {server}"
        known.add(server)
        if not numbers.total("engine_up", engine=name, server=server):
            why = reasons.get((name, server), "")
            found.append(faults.server_down(subject, why, fatal=True, log=log, age=age))
        elif age > within:
            found.append(faults.server_untested(subject, age, within))
        else:
            return []
    never = [(server, why) for (one, server), why in reasons.items() if one == name and server not in known]
    found += [faults.server_down(f"{name} {server}", why, fatal=True, log=log) for server, why in never]
    return found or [error(name, "no server has passed its self-test", "run: miltscan check")]


def unproven(numbers: Numbers, settings: Settings, now: float) -> list[Finding]:
    """Return how the last probes failed; empty if no probes are sent.

    The status page shows it even if readiness does not require it: engines that are up do not prove that mail is
    scanned.
    """
    probe = settings.probe
    within = _PROBES_MISSED * (probe.interval + probe.timeout)
    return [*_unproven(numbers, now, within)] if probe.interval else []


def _unproven(numbers: Numbers, now: float, within: float) -> Iterator[Finding]:
    ran = numbers.by("probe_last_run_timestamp_seconds", "message")
    for kind in ProbeKind:
        if kind not in ran:
            yield faults.probe_failed(kind, "none has ended yet")
        elif now - ran[kind] > within:
            yield faults.probe_failed(
                kind, f"the last one ended {now - ran[kind]:.0f} s ago; the limit is {within:g} s"
            )
        elif not numbers.total("probe_success", message=kind):
            yield faults.probe_failed(kind, f"failed {now - ran[kind]:.0f} s ago")
