"""Row "Process health": does miltscan itself work, and which version and configuration are in use?"""

from grafana_foundation_sdk.models.dashboard import DynamicConfigValue
from grafana_foundation_sdk.models.units import BytesIEC, DateTimeFromNow, NoUnit, Percent, Seconds, Short

from deploy.grafana.generator.panels import NONE_IS_GOOD, PER_SECOND, Panel, graph, number, rows, states
from deploy.grafana.generator.queries import increase, rate

PANELS: tuple[Panel, ...] = (
    number(
        "Missing workers",
        Short,
        "sum(miltscan_workers_configured) - sum(miltscan_workers)",
        note="How many of the configured workers are not running?",
        width=4,
        steps=NONE_IS_GOOD,
    ),
    number("Respawns", Short, increase("miltscan_worker_respawns_total"), width=4, steps=NONE_IS_GOOD),
    number("Exceptions", Short, increase("miltscan_exceptions_total"), width=4, steps=NONE_IS_GOOD),
    number("Log lines lost", Short, increase("miltscan_log_lines_lost_total"), width=4, steps=NONE_IS_GOOD),
    number(
        "Failed reloads",
        Short,
        increase('miltscan_reloads_total{result="failed"}'),
        note="How often did a reload fail because of a mistake in the configuration?",
        width=4,
        steps=NONE_IS_GOOD,
    ),
    number(
        "Free spool space",
        BytesIEC,
        "min(miltscan_spool_free_bytes)",
        width=4,
        steps=((None, "red"), (2**28, "orange"), (2**30, "green")),
    ),
    states(
        "Milter socket reachable",
        ("min by (instance, socket) (miltscan_socket_bound)", "{{socket}} {{instance}}"),
        width=12,
    ),
    states(
        "Scraped", ('up{instance=~"$instance"}', "{{instance}}"), width=12, note="Does Prometheus reach the exporter?"
    ),
    graph(
        "Workers",
        Short,
        ("sum by (instance) (miltscan_workers)", "running {{instance}}"),
        ("sum by (instance) (miltscan_workers_configured)", "configured {{instance}}"),
    ),
    graph(
        "Reloads and respawns",
        Short,
        (increase("miltscan_reloads_total", "result", "$__rate_interval"), "reload {{result}}"),
        (increase("miltscan_worker_respawns_total", "", "$__rate_interval"), "respawns"),
    ),
    graph(
        "Memory",
        BytesIEC,
        ("sum by (instance, process) (miltscan_process_resident_memory_bytes)", "{{process}} {{instance}}"),
    ),
    graph(
        "CPU",
        Percent,
        (f"100 * {rate('miltscan_process_cpu_seconds_total', 'instance, process')}", "{{process}} {{instance}}"),
        note="How much of one CPU core does each process use?",
    ),
    graph(
        "Open files",
        Short,
        ("sum by (instance, process) (miltscan_process_open_fds)", "{{process}} {{instance}}"),
    ),
    graph(
        "Spool",
        BytesIEC,
        ("sum(miltscan_spool_bytes)", "bytes in use"),
        ("sum(miltscan_spool_files)", "files in use"),
    ).override_by_name("files in use", [DynamicConfigValue("unit", Short)]),
    graph(
        "Exceptions by place", Short, (increase("miltscan_exceptions_total", "where", "$__rate_interval"), "{{where}}")
    ),
    graph(
        "Duration of a scrape",
        Seconds,
        ("max by (instance) (miltscan_scrape_duration_seconds)", "{{instance}}"),
        steps=((None, "green"), (0.1, "orange")),
    ),
    graph(
        "Requests refused by the exporter",
        Short,
        (increase("miltscan_http_refused_total", "reason", "$__rate_interval"), "{{reason}}"),
    ),
    graph(
        "Hosts refused at the milter socket",
        Short,
        (increase("miltscan_peers_refused_total", "", "$__rate_interval"), "connections"),
        width=12,
    ),
    graph("Traces", PER_SECOND, (rate("miltscan_traces_total", "result"), "{{result}}"), stacked=True, width=12),
    graph(
        "Processes that cannot write their log or their counts",
        Short,
        ("sum by (instance) (miltscan_log_stalled)", "log {{instance}}"),
        ("sum by (instance) (miltscan_metrics_in_memory)", "counts {{instance}}"),
        width=24,
    ),
    rows(
        "Versions in use",
        ("instance", "version", "python"),
        ("max by (instance, version, python) (miltscan_build_info)", "running", NoUnit),
        width=12,
        links=True,
    ),
    rows(
        "Configuration in force",
        ("instance", "hash"),
        ("max by (instance, hash) (miltscan_config_info == 1)", "in force", NoUnit),
        ("1000 * max by (instance) (miltscan_config_last_reload_success_timestamp_seconds)", "since", DateTimeFromNow),
        note="Which configuration is in force, and since when? Instances of one service have the same hash.",
        width=12,
    ),
    rows(
        "Keys in use",
        ("instance", "key", "use"),
        ("max by (instance, key, use) (miltscan_key_info == 1)", "in use", NoUnit),
        note="Which keys has each instance read? A new key signs once every instance that verifies has it.",
        width=12,
    ),
)
