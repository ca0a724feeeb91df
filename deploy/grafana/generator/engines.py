"""Row "Engines and servers": can they scan, how fast, and with which signatures?"""

from grafana_foundation_sdk.models.units import DateTimeFromNow, NoUnit, Seconds, Short

from deploy.grafana.generator.panels import NONE_IS_GOOD, PER_SECOND, Panel, graph, rising, rows, states
from deploy.grafana.generator.queries import grown, or_none, quantile, rate
from miltscan.core.thresholds import SIGNATURE_AGE

_SCAN = "miltscan_scan_duration_seconds"
_PUBLISHED = "miltscan_signature_database_published_timestamp_seconds"

PANELS: tuple[Panel, ...] = (
    states(
        "Servers",
        ("min by (instance, engine, server) (miltscan_engine_up)", "{{engine}} {{server}} {{instance}}"),
        width=8,
    ),
    graph(
        "Servers without room",
        Short,
        ("max by (instance, engine, server) (miltscan_engine_degraded)", "{{engine}} {{server}} {{instance}}"),
        ("1 - min by (instance, engine, server) (miltscan_engine_watched)", "not visible: {{engine}} {{server}}"),
        note="Which servers lacked room to unpack a message in the last minute? Which folders does miltscan not see?",
        steps=NONE_IS_GOOD,
        width=4,
    ),
    graph(
        "Time since the last passed self-test",
        Seconds,
        (
            "time() - min by (instance, engine, server) (miltscan_canary_last_success_timestamp_seconds)",
            "{{engine}} {{server}} {{instance}}",
        ),
        note="How long ago did the server last pass its self-test? A server that fails it is not used.",
        steps=rising(60, 180),
        width=12,
    ),
    graph(
        "Scan duration by server, 95 %",
        Seconds,
        (quantile(0.95, _SCAN, "engine, server"), "{{engine}} {{server}}"),
        steps=rising(2, 10),
    ),
    graph("Scan duration by size, 95 %", Seconds, (quantile(0.95, _SCAN, "engine, size"), "{{engine}} {{size}}")),
    graph(
        "Scans by server",
        PER_SECOND,
        (rate(f"{_SCAN}_count", "engine, server"), "{{engine}} {{server}}"),
        note="How many messages a second does each server scan?",
        stacked=True,
    ),
    graph(
        "Errors by reason",
        Short,
        (
            or_none(grown("miltscan_engine_errors_total", "engine, reason", "$__rate_interval"), "reason"),
            "{{engine}} {{reason}}",
        ),
        steps=NONE_IS_GOOD,
    ),
    graph(
        "clamd's queue",
        Short,
        ("max by (engine, server) (miltscan_clamd_queue_length)", "{{engine}} {{server}}"),
        steps=rising(25, 100),
    ),
    graph(
        "clamd's threads",
        Short,
        ("max by (engine, server, state) (miltscan_clamd_threads)", "{{engine}} {{server}} {{state}}"),
    ),
    rows(
        "Required engines",
        ("engine",),
        ("max by (engine) (miltscan_engine_required)", "required", NoUnit),
        width=12,
    ),
    graph(
        "Not scanned by optional engines",
        Short,
        (
            or_none(grown("miltscan_optional_engine_unscanned_total", "engine, reason", "$__rate_interval"), "reason"),
            "{{engine}} {{reason}}",
        ),
        steps=NONE_IS_GOOD,
        width=12,
    ),
    rows(
        "Signature databases",
        ("engine", "server"),
        ("max by (engine, server) (miltscan_signature_database_version)", "version", NoUnit),
        (f"1000 * max by (engine, server) ({_PUBLISHED})", "published", DateTimeFromNow),
        width=12,
    ),
    graph(
        "Age of the signatures",
        Seconds,
        (f"time() - max by (engine, server) ({_PUBLISHED})", "{{engine}} {{server}}"),
        note="How old is the signature database that each server uses?",
        steps=rising(SIGNATURE_AGE / 2, SIGNATURE_AGE),
        width=12,
    ),
)
