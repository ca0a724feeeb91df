"""The three dashboards: their rows, variables, annotations and links, and their JSON."""

import json
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    GridPos,
    RowPanel,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.generator import (
    engines,
    internals,
    links,
    mail,
    overview,
    quarantine,
    queries,
    sandwich,
    signatures,
    spam,
    structure,
)
from deploy.grafana.generator.panels import SOURCE, Panel

FOLDER = Path(__file__).parents[1] / "dashboards"


class Board(NamedTuple):
    """A dashboard: what is seen at once, then its rows; those in `folded` open with a click."""

    uid: str
    title: str
    purpose: str
    first: tuple[Panel, ...]
    rows: dict[str, tuple[Panel, ...]]
    folded: bool


BOARDS = (
    Board(
        "miltscan",
        "miltscan",
        "Mail scanned by miltscan: state, amount, outcome and latency on one screen; details in the rows below.",
        overview.PANELS,
        {
            "Mail": mail.PANELS,
            "Engines and servers": engines.PANELS,
            "Signatures, rules and lists": signatures.PANELS,
            "Structure of messages": structure.PANELS,
            "Spam": spam.PANELS,
            "Quarantine": quarantine.PANELS,
        },
        folded=True,
    ),
    Board(
        "miltscan-sandwich",
        "miltscan: sandwich",
        "Both sendmails around miltscan: queues, handover, probes and receipts.",
        sandwich.PANELS,
        {},
        folded=False,
    ),
    Board(
        "miltscan-internals",
        "miltscan: internals",
        "miltscan itself: workers, processes, faults, versions and configuration.",
        internals.STATE,
        {"Processes": internals.PROCESSES, "Events": internals.EVENTS, "In use": internals.IN_USE},
        folded=False,
    ),
)
_VALUES_OF = {
    "job": "miltscan_build_info",
    "instance": 'miltscan_build_info{job=~"$job"}',
    "direction": 'miltscan_messages_total{job=~"$job"}',
    "engine": 'miltscan_engine_up{job=~"$job"}',
}
_TIMES = {
    "Reload": ("blue", "miltscan_config_last_reload_success_timestamp_seconds", "Configuration in force"),
    "Signature update": (
        "purple",
        "miltscan_signature_database_published_timestamp_seconds",
        "Signatures of {{server}}",
    ),
}
_FIRING = 'ALERTS{alertname=~"Miltscan.+", alertstate="firing"}'


def file(board: Board) -> Path:
    """Return the file of a dashboard."""
    return FOLDER / f"{board.uid}.json"


def text(board: Board, docs: str = "") -> str:
    """Return the content of the file, with links to the documentation at `docs` if that is not empty."""
    return json.dumps(build(board, docs).build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def build(board: Board, docs: str) -> dashboard.Dashboard:
    """Return the dashboard, for Grafana 10 and newer."""
    whole = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.purpose)
        .tags(["mail", "miltscan", "prometheus"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-24h", "now")
        .refresh("1m")
    )
    for link in links.of_a_dashboard(docs):
        whole.link(link)
    for variable in _variables():
        whole.with_variable(variable)
    for name, (colour, series, title) in _TIMES.items():
        whole.annotation(_at_a_time(name, colour, series, title))
    whole.annotation(_alerts())
    _lay_out(whole, board)
    return whole


def numbers(board: Board) -> dict[str, int]:
    """Return the numbers of the panels by their titles."""
    built = build(board, "").build().panels or []
    folded = [one for row in built if isinstance(row, RowPanel) for one in row.panels]
    return {str(panel.title): panel.id_val or 0 for panel in (*built, *folded)}


def _lay_out(whole: dashboard.Dashboard, board: Board) -> None:
    """Add the panels, numbered from 1, as a link to a panel contains its number."""
    number = count(1)
    top = 0
    for panel, place in _placed(board.first, top):
        whole.with_panel(panel.id(next(number)).grid_pos(place))
        top = max(top, place.y + place.h)
    for title, panels in board.rows.items():
        row = dashboard.Row(title).id(next(number)).grid_pos(GridPos(x=0, y=top, w=24, h=1))
        below = [panel.id(next(number)).grid_pos(place) for panel, place in _placed(panels, top + 1)]
        if board.folded:
            for panel in below:
                row.with_panel(panel)
        whole.with_row(row)
        if not board.folded:
            for panel in below:
                whole.with_panel(panel)
        top += 1 + (0 if board.folded else _height(panels))


def _placed(panels: Sequence[Panel], top: int) -> list[tuple[Panel, GridPos]]:
    """Return each panel with its place: from left to right, in lines of the height of the first panel of a line."""
    placed, x, y = [], 0, top
    for panel in panels:
        size = panel.build().grid_pos or GridPos()
        placed.append((panel, GridPos(x=x, y=y, w=size.w, h=size.h)))
        x += size.w
        if x >= 24:  # noqa: PLR2004 - the columns of Grafana's grid
            x, y = 0, y + size.h
    return placed


def _height(panels: Sequence[Panel]) -> int:
    places = [place for _, place in _placed(panels, 0)]
    return max(place.y + place.h for place in places)


def _variables() -> list[dashboard.DatasourceVariable | dashboard.QueryVariable | dashboard.TextBoxVariable]:
    return [
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        *(_variable(name, series) for name, series in _VALUES_OF.items()),
        dashboard.TextBoxVariable("queue_id").label("Queue ID"),
        dashboard.DatasourceVariable("loki").label("Loki").type("loki").hide(VariableHide.HIDE_VARIABLE),
    ]


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


def _annotation(name: str, colour: str, promql: str, title: str) -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(SOURCE)
        .enable(enable=True)
        .icon_color(colour)
        .expr(promql)
        .step("60s")
        .title_format(title)
        .text_format("{{instance}}")
        .tag_keys("instance")
    )


def _at_a_time(name: str, colour: str, series: str, title: str) -> dashboard.AnnotationQuery:
    """Return an annotation at the time that is the value of a series; the query omits times before the range shown."""
    promql = f"1000 * {queries.narrowed(series)} > $__from"
    return _annotation(name, colour, promql, title).use_value_for_time(use_value_for_time=True)


def _alerts() -> dashboard.AnnotationQuery:
    """Return an annotation for as long as an alert is firing."""
    promql = queries.narrowed(_FIRING)
    return _annotation("Firing alerts", "red", promql, "{{alertname}}").tag_keys("severity,instance")
