"""Makes the content of the page: numbers, history, events and settings in, a `ServiceStatus` out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from miltscan import __version__
from miltscan.config.settings import Settings
from miltscan.core.finding import Finding
from miltscan.core.verdict import Limit, Outcome
from miltscan.status import history, settings
from miltscan.status.checks import Seen, assess
from miltscan.status.events import RecentEvents
from miltscan.status.history import History
from miltscan.status.model import (
    AreaStatus,
    Assessment,
    ConfigurationStatus,
    DayChange,
    EngineStatus,
    Now,
    Plots,
    ProcessStatus,
    QuarantineStatus,
    QueueStatus,
    ServiceStatus,
    SpoolStatus,
    Totals,
    WorkersStatus,
)
from miltscan.status.samples import Numbers
from miltscan.status.trend import QueueTrend

_RATE_WINDOW = 60.0  # seconds
_LATENCY_WINDOW = 300.0  # seconds
_AREA_GAUGES = ("bytes", "oldest_timestamp_seconds", "cleared")


@dataclass(frozen=True, slots=True)
class SnapshotInput:
    """What the page is made from; `at` and `since` are Unix time, `unready` to `degraded` are for `assess`."""

    numbers: Numbers
    past: History
    recent: RecentEvents
    settings: Settings
    unready: Sequence[Finding]
    at: float
    since: float
    host: str
    unproven: Sequence[Finding] = ()
    degraded: Sequence[Finding] = ()
    trend: QueueTrend = field(default_factory=QueueTrend)
    day: Sequence[DayChange] = ()


def assessment(seen: SnapshotInput) -> Assessment:
    """Return the line at the top of the page."""
    return assess(
        Seen(
            engines=_engines(seen),
            workers=_workers(seen.numbers, seen.settings),
            queues=_queues(seen.numbers),
            past=seen.past,
            settings=seen.settings,
            at=seen.at,
            unready=seen.unready,
            unproven=seen.unproven,
            degraded=seen.degraded,
            trend=seen.trend,
        )
    )


def snapshot(seen: SnapshotInput) -> ServiceStatus:
    """Return the content of the page."""
    numbers = seen.numbers
    spool = [numbers.total(f"spool_{name}") for name in ("files", "bytes", "free_bytes")]
    return ServiceStatus(
        at=seen.at,
        host=seen.host,
        version=__version__,
        since=seen.since,
        assessment=assessment(seen),
        day=list(seen.day),
        now=_now(numbers, seen.past),
        totals=_totals(numbers),
        engines=_engines(seen),
        workers=_workers(numbers, seen.settings),
        queues=_queues(numbers),
        spool=None if spool == [None, None, None] else SpoolStatus(*spool),
        quarantine=_quarantine(numbers),
        configuration=_configuration(numbers, seen.settings),
        detections=list(seen.recent.detections),
        errors=list(seen.recent.errors),
        plots=_plots(seen.past),
    )


def _now(numbers: Numbers, past: History) -> Now:
    rates = history.rates(past.last(_RATE_WINDOW))
    p50, p95, p99 = history.latency(past.last(_LATENCY_WINDOW), *history.QUANTILES)
    return Now(
        rate=sum(rates.values()) if rates is not None else None,
        rates=rates or {},
        recent=history.messages(past.last(history.SPAN)),
        encrypted=history.unscanned(past.last(history.SPAN)).get(Limit.ENCRYPTED, 0.0),
        p50=p50,
        p95=p95,
        p99=p99,
        sessions=numbers.total("sessions"),
        in_flight=numbers.total("transactions_in_flight"),
    )


def _totals(numbers: Numbers) -> Totals:
    by = numbers.by
    return Totals(
        messages=numbers.total("messages_total") or 0.0,
        outcomes=dict.fromkeys(map(str, Outcome), 0.0) | by("messages_total", "outcome"),
        directions=by("messages_total", "direction"),
        actions=by("messages_total", "action"),
        unscanned=by("unscanned_total", "reason"),
        replies=by("smtp_replies_total", "code"),
        classes=by("detections_total", "class"),
        rules=by("rule_matches_total", "rule", enforced="yes"),
        observed=by("rule_matches_total", "rule", enforced="no"),
        spam=by("spam_actions_total", "action"),
    )


def _engines(seen: SnapshotInput) -> list[EngineStatus]:
    required = {engine.name for engine in seen.settings.engines if engine.required}
    pairs = {(one.labels["engine"], one.labels["server"]) for one in seen.numbers.series("engine_up")}
    types = {engine.name: engine.type for engine in seen.settings.engines}
    return [
        _engine(seen, engine, server, types.get(engine, ""), required=engine in required)
        for engine, server in sorted(pairs)
    ]


def _engine(seen: SnapshotInput, engine: str, server: str, kind: str, *, required: bool) -> EngineStatus:
    numbers = seen.numbers
    labels = {"engine": engine, "server": server}
    return EngineStatus(
        engine=engine,
        server=server,
        type=kind,
        required=required,
        up=(up := bool(numbers.total("engine_up", **labels))),
        degraded=bool(numbers.total("engine_degraded", **labels)),
        watched=bool(numbers.total("engine_watched", **labels)),
        canary=numbers.total("canary_last_success_timestamp_seconds", **labels),
        version=numbers.total("signature_database_version", **labels),
        published=numbers.total("signature_database_published_timestamp_seconds", **labels),
        errors=numbers.total("engine_errors_total", engine=engine) or 0.0,
        queue=numbers.total("clamd_queue_length", **labels),
        threads=numbers.by("clamd_threads", "state", **labels),
        why="" if up else seen.recent.reasons.get((engine, server), ""),
    )


def _workers(numbers: Numbers, chosen: Settings) -> WorkersStatus:
    return WorkersStatus(
        running=numbers.total("workers") or 0.0,
        configured=chosen.workers,
        respawns=numbers.total("worker_respawns_total") or 0.0,
        exceptions=numbers.total("exceptions_total") or 0.0,
        lines_lost=numbers.total("log_lines_lost_total") or 0.0,
        processes=_processes(numbers),
    )


def _processes(numbers: Numbers) -> list[ProcessStatus]:
    resident = numbers.by("process_resident_memory_bytes", "process")
    cpu = numbers.by("process_cpu_seconds_total", "process")
    descriptors = numbers.by("process_open_fds", "process")
    names = sorted({*resident, *cpu, *descriptors})
    return [ProcessStatus(name, resident.get(name), cpu.get(name), descriptors.get(name)) for name in names]


def _queues(numbers: Numbers) -> list[QueueStatus]:
    entries, sizes = numbers.by("queue_entries", "queue"), numbers.by("queue_bytes", "queue")
    oldest = numbers.by("queue_oldest_timestamp_seconds", "queue")
    legible, listening = numbers.by("queue_readable", "queue"), numbers.by("sendmail_listening", "queue")
    greeting = numbers.by("sendmail_up", "queue")
    names = sorted({*entries, *legible, *greeting}, key=lambda name: (name != "incoming", name))
    return [
        QueueStatus(
            name,
            entries.get(name),
            sizes.get(name),
            oldest.get(name) or None,
            readable=bool(legible.get(name, 1.0)),
            listening=bool(listening.get(name, 1.0)),
            up=bool(greeting.get(name, 1.0)),
        )
        for name in names
    ]


def _quarantine(numbers: Numbers) -> QuarantineStatus | None:
    entries = numbers.by("quarantine_entries", "area")
    if not entries and numbers.total("keeper_configured") != 1:
        return None
    sizes, oldest, cleared = (numbers.by(f"quarantine_{name}", "area") for name in _AREA_GAUGES)
    areas = [
        AreaStatus(area, count, sizes.get(area), oldest.get(area), cleared.get(area))
        for area, count in sorted(entries.items())
    ]
    return QuarantineStatus(areas, numbers.total("quarantine_free_bytes"), numbers.total("quarantine_unindexed"))


def _configuration(numbers: Numbers, chosen: Settings) -> ConfigurationStatus:
    hashes = [sample.labels.get("hash", "") for sample in numbers.series("config_info") if sample.value]
    return ConfigurationStatus(
        loaded=numbers.total("config_last_reload_success_timestamp_seconds"),
        reloads_failed=numbers.total("reloads_total", result="failed") or 0.0,
        hash=hashes[-1] if hashes else "",
        settings=settings.shown(chosen),
    )


def _plots(past: History) -> Plots:
    points = list(past.points)
    p50, p95, p99 = (
        [None if (value := point.quantiles[index]) is None else round(value, 5) for point in points]
        for index in range(3)
    )
    outcomes = history.messages(points)
    queues = {name: None for point in points for name in point.queues}
    return Plots(
        times=[round(point.at, 1) for point in points],
        window=history.WINDOW,
        rates={
            outcome: [round(point.messages.get(outcome, 0.0) / point.seconds, 3) for point in points]
            for outcome in outcomes
        },
        p50=p50,
        p95=p95,
        p99=p99,
        sessions=[point.gauges["sessions"] for point in points],
        in_flight=[point.gauges["transactions_in_flight"] for point in points],
        queues={name: [point.queues.get(name) for point in points] for name in queues},
    )
