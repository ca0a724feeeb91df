"""Links of the dashboards: to each other, to the documentation, and to the log in Loki."""

import json
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import DashboardLinkType

OF_A_MESSAGE = '{job="miltscan"} | queue_id = "${queue_id}"'
"""LogQL: the log lines of the queue ID that is written at the top. deploy/vector has the labels."""
PAGES = {"About this dashboard": "dashboard.md", "Metrics": "metrics.md", "Runbook": "runbook.md"}


def to_log(logql: str) -> dashboard.DashboardLink:
    """Return a link of a panel to log lines of the time shown."""
    return _link("Log lines", explore(logql))


def of_a_dashboard(docs: str) -> list[dashboard.DashboardLink]:
    """Return the links at the top: to the other dashboards, to the log, to the documentation if it has an address."""
    others = (
        dashboard.DashboardLink("miltscan")
        .type(DashboardLinkType.DASHBOARDS)
        .tags(["miltscan"])
        .as_dropdown(as_dropdown=False)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
    pages = [_link(title, f"{docs.rstrip('/')}/{page}").icon("doc") for title, page in PAGES.items()] if docs else []
    return [others, _link("Log of this queue ID", explore(OF_A_MESSAGE)).icon("bolt"), *pages]


def explore(logql: str) -> str:
    """Return the address of Grafana's log search; the variables in it stay as they are, for Grafana to fill in."""
    query = {"refId": "A", "expr": logql}
    times = {"from": "${__from}", "to": "${__to}"}
    search = json.dumps({"datasource": "${loki}", "queries": [query], "range": times}, separators=(",", ":"))
    return f"/explore?orgId=1&left={quote(search, safe='${}')}"


def _link(title: str, url: str) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(target_blank=True)
