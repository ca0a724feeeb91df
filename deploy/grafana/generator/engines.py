"""Row "Engines and servers": can they scan, how fast, and with which signatures?"""

from grafana_foundation_sdk.models.units import DateTimeFromNow, NoUnit, Seconds, Short

from deploy.grafana.generator import colours
from deploy.grafana.generator.overview import NO_MAIL
from deploy.grafana.generator.panels import COUNT, PER_MINUTE, UP, Panel, graph, states
from deploy.grafana.generator.queries import most, per_minute, quantile
from deploy.grafana.generator.tables import rows

_SCAN = "miltscan_scan_duration_seconds"
_PUBLISHED = "miltscan_signature_database_published_timestamp_seconds"
_PASSED = "miltscan_canary_last_success_timestamp_seconds"
_OF = "(instance, engine, server)"
_REQUIRED = "0 * miltscan_engine_up + on (job, instance, engine) group_left () miltscan_engine_required"
_HOUR = 3600
_TOP = 25
_NO_CLAMD = "no clamd answers STATS"
_YES = {"0": ("no", "text"), "1": ("yes", "text")}

PANELS: tuple[Panel, ...] = (
    rows(
        "Servers",
        ("instance", "engine", "server"),
        (f"min by {_OF} (miltscan_engine_up)", "state", NoUnit),
        (f"max by {_OF} ({_REQUIRED})", "required", NoUnit),
        (f"1000 * max by {_OF} ({_PASSED})", "passed its self-test", DateTimeFromNow),
        (f"max by {_OF} (miltscan_signature_database_version)", "signatures", NoUnit),
        (f"1000 * max by {_OF} ({_PUBLISHED})", "published", DateTimeFromNow),
        (f"min by {_OF} (miltscan_engine_watched)", "folder visible", NoUnit),
        note="Which servers can scan, when did each last pass its self-test, and which signatures does it use? Mail "
        "flows without an engine that is not required.",
        names={"state": UP, "required": _YES, "folder visible": _YES},
        width=24,
        height=6,
        links=True,
    ),
    graph(
        "Scan duration by server, 95 %",
        Seconds,
        (quantile(0.95, _SCAN, "engine, server"), "{{engine}} {{server}}"),
        logarithmic=True,
    ),
    graph(
        "Scan duration by size, 95 %",
        Seconds,
        (quantile(0.95, _SCAN, "engine, size"), "{{engine}} {{size}}"),
        logarithmic=True,
    ),
    graph(
        "Scans by server",
        PER_MINUTE,
        (per_minute(f"{_SCAN}_count", "engine, server"), "{{engine}} {{server}}"),
        note="How many messages does each server scan a minute?",
        none=NO_MAIL,
        stacked=True,
    ),
    rows(
        "Errors by reason",
        ("engine", "reason"),
        (most(_TOP, "miltscan_engine_errors_total", "engine, reason"), "exchanges", COUNT),
        note="How many exchanges with an engine failed in the time shown, and why?",
        none="no exchange with an engine failed",
    ),
    graph(
        "clamd's queue",
        Short,
        ("max by (engine, server) (miltscan_clamd_queue_length)", "{{engine}} {{server}}"),
        none=_NO_CLAMD,
    ),
    graph(
        "clamd's threads",
        Short,
        ('sum by (state) (miltscan_clamd_threads{state="live"})', "working"),
        ('sum by (state) (miltscan_clamd_threads{state="max"})', "MaxThreads"),
        none=_NO_CLAMD,
        colours={"working": colours.BLUE, "MaxThreads": colours.GREY},
    ),
    rows(
        "Not scanned by optional engines",
        ("engine", "reason"),
        (most(_TOP, "miltscan_optional_engine_unscanned_total", "engine, reason"), "messages", COUNT),
        note="How many messages of the time shown did an optional engine not scan completely, and why?",
        none="optional engines scanned every message that they received",
    ),
    states(
        "Room to unpack messages",
        ("1 - max by (engine, server) (miltscan_engine_degraded)", "{{engine}} {{server}}"),
        names={"0": ("no room", "orange"), "1": ("ok", "green")},
    ),
    graph(
        "Age of the signatures",
        "suffix:h",
        (f"(time() - min by (engine, server) ({_PUBLISHED})) / {_HOUR}", "{{engine}} {{server}}"),
        note="How old is the signature database that each server uses? The oldest of those with one name.",
        none="no server reports its signatures",
        limit=f"max(miltscan_threshold_signature_age_seconds) / {_HOUR}",
    ),
)
