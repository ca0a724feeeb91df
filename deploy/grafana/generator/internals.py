"""The internals: does miltscan itself work, and which version and configuration are in use?"""

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from grafana_foundation_sdk.models.units import BytesIEC, DateTimeFromNow, NoUnit, Percent, Seconds, Short

from deploy.grafana.generator import colours
from deploy.grafana.generator.panels import COUNT, NONE_IS_GOOD, PER_MINUTE, Panel, amount, graph, number, states
from deploy.grafana.generator.queries import increased, most, rate, seen
from deploy.grafana.generator.tables import rows

_TOP = 25
_IN_FORCE = (
    "1000 * max by (instance) (miltscan_config_last_reload_success_timestamp_seconds) "
    "* on (instance) group_right () max by (instance, version, python) (miltscan_build_info) "
    "* on (instance) group_left (hash) max by (instance, hash) (miltscan_config_info == 1)"
)

STATE: tuple[Panel, ...] = (
    number(
        "Missing workers",
        COUNT,
        "sum(miltscan_workers_configured) - (sum(miltscan_workers) or vector(0))",
        note="How many of the configured workers are not running?",
        none="not scraped",
        width=3,
        steps=NONE_IS_GOOD,
    ),
    amount(
        "Respawns",
        increased("miltscan_worker_respawns_total"),
        note="How many workers died in the time shown and were replaced?",
        width=3,
        steps=NONE_IS_GOOD,
    ),
    amount(
        "Exceptions",
        increased("miltscan_exceptions_total"),
        note="How many bugs of miltscan showed up in the time shown?",
        width=3,
        steps=NONE_IS_GOOD,
    ),
    amount(
        "Log lines lost",
        increased("miltscan_log_lines_lost_total"),
        note="How many log lines of the time shown could not be written?",
        width=3,
        steps=NONE_IS_GOOD,
    ),
    amount(
        "Failed reloads",
        increased('miltscan_reloads_total{result="failed"}'),
        note="How often did a reload fail in the time shown because of a mistake in the configuration?",
        width=3,
        steps=NONE_IS_GOOD,
    ),
    amount(
        "Reloads",
        increased('miltscan_reloads_total{result="ok"}'),
        note="How often was the configuration reloaded in the time shown?",
        width=3,
    ),
    amount(
        "Hosts refused",
        f"({increased('miltscan_peers_refused_total')} or vector(0)) + {increased('miltscan_packets_dropped_total')}",
        note="How often did hosts that are not in milter.allow try to connect in the time shown? It counts connections "
        "that the workers closed, and packets that the kernel dropped.",
        width=3,
    ),
    number(
        "Free spool space",
        BytesIEC,
        "min(miltscan_spool_free_bytes)",
        none="no spool folder",
        width=3,
        steps=((None, "red"), (2**28, "orange"), (2**30, "green")),
    ),
    states(
        "Reachable",
        ("min by (instance) (up)", "metrics of {{instance}}"),
        ("min by (instance, socket) (miltscan_socket_bound)", "{{socket}} of {{instance}}"),
        note="Does Prometheus reach the exporter, and can MTAs reach each socket?",
        width=12,
    ),
    graph(
        "Workers",
        Short,
        ("sum by (instance) (miltscan_workers)", "running {{instance}}"),
        ("sum by (instance) (miltscan_workers_configured)", "configured {{instance}}"),
        width=12,
    ),
)
PROCESSES: tuple[Panel, ...] = (
    graph(
        "Memory",
        BytesIEC,
        ("sum by (instance, process) (miltscan_process_resident_memory_bytes)", "{{process}} {{instance}}"),
        width=12,
    ),
    graph(
        "CPU",
        Percent,
        (f"100 * {rate('miltscan_process_cpu_seconds_total', 'instance, process')}", "{{process}} {{instance}}"),
        note="How much of one CPU core does each process use?",
        width=12,
    ),
    graph(
        "Open files",
        Short,
        ("sum by (instance, process) (miltscan_process_open_fds)", "{{process}} {{instance}}"),
        width=12,
    ),
    graph(
        "Spool",
        BytesIEC,
        ("sum(miltscan_spool_bytes)", "bytes in use"),
        ("sum(miltscan_spool_files)", "files in use"),
        colours={"bytes in use": colours.BLUE, "files in use": colours.AMBER},
        width=12,
    ).override_by_name("files in use", [DynamicConfigValue("unit", Short)]),
    graph(
        "Duration of a scrape",
        Seconds,
        ("max by (instance) (miltscan_scrape_duration_seconds)", "{{instance}}"),
        steps=((None, "green"), (0.1, "orange")),
        width=12,
    ),
    graph(
        "Processes that cannot write",
        Short,
        ("sum by (instance) (miltscan_log_stalled)", "log {{instance}}"),
        ("sum by (instance) (miltscan_metrics_in_memory)", "counts {{instance}}"),
        note="How many processes cannot write their log or their counts?",
        width=12,
    ),
)
EVENTS: tuple[Panel, ...] = (
    rows(
        "Exceptions by place",
        ("where",),
        (most(_TOP, "miltscan_exceptions_total", "where"), "exceptions", COUNT),
        none="no exception in the time shown",
    ),
    rows(
        "Requests refused by the exporter",
        ("reason",),
        (most(_TOP, "miltscan_http_refused_total", "reason"), "requests", COUNT),
        none="no request was refused in the time shown",
    ),
    graph(
        "Traces",
        PER_MINUTE,
        (seen("miltscan_traces_total", "result"), "{{result}}"),
        none="no trace was sent",
        colours={"exported": colours.BLUE, "failed": colours.RED, "dropped": colours.AMBER},
        stacked=True,
    ),
)
IN_USE: tuple[Panel, ...] = (
    rows(
        "Versions and configuration",
        ("instance", "version", "python", "hash"),
        (_IN_FORCE, "in force since", DateTimeFromNow),
        note="Which versions and which configuration are in use, and since when? Instances of one service have the "
        "same hash.",
        width=16,
        height=6,
        links=True,
    ),
    rows(
        "Keys in use",
        ("instance", "key", "use"),
        ("max by (instance, key, use) (miltscan_key_info == 1)", "in use", NoUnit),
        note="Which keys has each instance read? A new key signs once every instance that verifies has it.",
        none="no keys: keys.file is empty",
        width=8,
        height=6,
        values=False,
    ),
)
