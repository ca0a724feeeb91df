"""The whole dashboard: its rows, variables, annotations and links, and its JSON."""

import json
from itertools import count
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.generator import (
    engines,
    overview,
    process,
    quarantine,
    queries,
    sandwich,
    signatures,
    spam,
    structure,
)
from deploy.grafana.generator.panels import SOURCE

DOCS = "https://example.org/miltscan/docs"
"""A placeholder for the address of a site's copy of the documentation."""
FILE = Path(__file__).parents[1] / "dashboards" / "miltscan.json"
ROWS = {
    "Overview": overview.PANELS,
    "Engines and servers": engines.PANELS,
    "Signatures": signatures.PANELS,
    "Structure of messages": structure.PANELS,
    "Spam": spam.PANELS,
    "Sandwich": sandwich.PANELS,
    "Quarantine": quarantine.PANELS,
    "Process health": process.PANELS,
}
_VALUES_OF = {
    "instance": "miltscan_build_info",
    "direction": "miltscan_messages_total",
    "engine": "miltscan_engine_up",
}
_EVENTS = {
    "Reload": ("blue", "miltscan_config_last_reload_success_timestamp_seconds", "Configuration in force"),
    "Signature update": (
        "purple",
        "miltscan_signature_database_published_timestamp_seconds",
        "Signatures of {{server}}",
    ),
}


def text(docs: str = DOCS) -> str:
    """Return the content of `FILE`, with links to the documentation at `docs`."""
    return json.dumps(build(docs).build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def build(docs: str) -> dashboard.Dashboard:
    """Return the dashboard, for Grafana 10 and newer."""
    whole = (
        dashboard.Dashboard("miltscan")
        .uid("miltscan")
        .description("Mail scanned by miltscan: amount, outcome, latency, and the state of each part.")
        .tags(["mail", "miltscan", "prometheus"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("30s")
        .link(_link("About this dashboard", "dashboard.md"))
        .link(_link("Metrics", "metrics.md"))
        .link(_link("Runbook", "runbook.md"))
        .with_variable(dashboard.ConstantVariable("docs").label("Documentation").value(docs))
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for name, series in _VALUES_OF.items():
        whole.with_variable(_variable(name, series))
    for name, (colour, series, title) in _EVENTS.items():
        whole.annotation(_annotation(name, colour, series, title))
    number = count(1)  # a link to a panel contains its number
    for title, panels in ROWS.items():
        whole.with_row(dashboard.Row(title).id(next(number)))
        for panel in panels:
            whole.with_panel(panel.id(next(number)))
    return whole


def _link(title: str, page: str) -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink(title)
        .type(DashboardLinkType.LINK)
        .icon("doc")
        .url(f"${{docs}}/{page}")
        .target_blank(target_blank=True)
    )


def _variable(name: str, series: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query({"query": f"label_values({series}, {name})", "refId": name})
        .definition(f"label_values({series}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(queries.ALL)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _annotation(name: str, colour: str, series: str, title: str) -> dashboard.AnnotationQuery:
    """Return an annotation at the time that is the value of a series; the query omits times before the range shown."""
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(enable=True)
        .icon_color(colour)
        .expr(f"1000 * {queries.narrowed(series)} > $__from")
        .use_value_for_time(use_value_for_time=True)
        .step("60s")
        .title_format(title)
        .text_format("{{instance}}")
        .tag_keys("instance")
    )
