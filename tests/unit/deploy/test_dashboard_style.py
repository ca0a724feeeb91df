"""The Grafana dashboards read well: the rules of Grafana's dashboard-linter that matter to a reader, and some of ours.

Not among them: names of data source variables, and units of Grafana's own list, which has no messages per minute.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest

from deploy.grafana.generator import colours, links
from miltscan.core.action import ActionName
from miltscan.core.verdict import Outcome
from miltscan.telemetry.metrics import FAMILIES
from tests.harness import dashboard
from tests.harness.programs import CHECKOUT

COMMITTED = dashboard.read()
OVERVIEW = next(board for board in COMMITTED if board["uid"] == "miltscan")
PANELS = [panel for board in COMMITTED for panel in dashboard.panels(board)]
QUERIES = [query for board in COMMITTED for query in dashboard.queries(board)]
SCREEN = 20
"""Rows of the grid that fit a window of 1,080 pixels below Grafana's own bars; each has 38 pixels."""


def test_lines_of_panels_are_full() -> None:
    """Panels fill their lines, so that no hole looks like a missing panel."""
    holes = []
    for board in COMMITTED:
        for title, panels in dashboard.sections(board):
            lines: dict[int, int] = {}
            for panel in panels:
                lines[panel["gridPos"]["y"]] = lines.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
            holes += [(board["uid"], title, width) for width in lines.values() if width != 24]
    assert holes == []


def test_panels_of_a_line_have_one_height() -> None:
    """No panel ends above its neighbours, where it would leave a hole."""
    heights: dict[tuple[str, str, int], set[int]] = {}
    for board in COMMITTED:
        for title, panels in dashboard.sections(board):
            for box in (panel["gridPos"] for panel in panels):
                heights.setdefault((board["uid"], title, box["y"]), set()).add(box["h"])
    assert [line for line, found in heights.items() if len(found) > 1] == []


def test_the_overview_is_one_screen() -> None:
    """Its first panels fit a screen, and all rows below are closed."""
    first = dashboard.sections(OVERVIEW)[0][1]
    assert max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in first) <= SCREEN
    assert all(row["collapsed"] for row in OVERVIEW["panels"] if row["type"] == "row")


def test_outcomes_have_the_colours_of_the_status_page() -> None:
    """Each outcome and each action has a colour, and those of outcomes are on the status page."""
    style = (CHECKOUT / "miltscan" / "status" / "assets" / "style.css").read_text().partition("@media")[0]
    page = dict(re.findall(r"--(\w+): (#\w+)", style))
    names = {"error": "failed"}
    assert {name: page[names.get(name, name)] for name in Outcome} == {**colours.OUTCOMES}
    assert colours.ACTIONS.keys() == {*ActionName}


def fixed(panel: Mapping[str, Any]) -> dict[str, str]:
    """Return the fixed colours of a panel by legend."""
    return {
        override["matcher"]["options"]: part["value"]["fixedColor"]
        for override in panel["fieldConfig"]["overrides"]
        for part in override["properties"]
        if part["id"] == "color"
    }


@pytest.mark.parametrize(
    ("legend", "expected"),
    [("{{outcome}}", colours.OUTCOMES), ("{{action}}", colours.ACTIONS), ("{{code}}", colours.CODES)],
)
def test_a_colour_means_the_same_on_each_panel(legend: str, expected: Mapping[str, str]) -> None:
    """A graph by outcome, action or code has the fixed colours of all of them."""
    graphs = [
        panel
        for panel in PANELS
        for target in panel["targets"]
        if target.get("legendFormat") == legend
        if "spam_actions" not in target["expr"]
    ]
    assert graphs
    assert [panel["title"] for panel in graphs if not fixed(panel).items() >= expected.items()] == []


def test_a_detection_is_no_alarm() -> None:
    """The number of infected messages has no colour of a warning."""
    (panel,) = (panel for panel in PANELS if panel["title"] == "Infected")
    assert {step["color"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]} == {"text"}


def test_counters_have_the_right_interval() -> None:
    """A rate or an increase is over the interval that Grafana chooses, or over the whole time shown."""
    found = {pair for query in QUERIES for pair in re.findall(r"(\w+)\(\w+\{[^{}]*\}\[([^\]]*)\]", query.promql)}
    assert {interval for _, interval in found} == {"$__rate_interval", "$__range"}
    assert {interval for function, interval in found if function == "rate"} == {"$__rate_interval"}


def test_no_counter_is_shown_as_it_is() -> None:
    """A counter since the start of a service answers no question: each is within rate or increase."""
    counters = "|".join(family.name for family in FAMILIES if family.kind.__name__ == "Counter")
    bare = re.compile(rf"(?<!rate\()(?<!increase\()\b(?:{counters})\{{[^}}]*\}}(?! offset)(?!\[)")
    wrong = [
        query.where for query in QUERIES if bare.search(re.sub(r"\) or miltscan_\w+\{[^}]*\}\)", "))", query.promql))
    ]
    assert wrong == []


def test_a_logarithmic_graph_has_no_text_for_no_value() -> None:
    """Grafana 10.4 writes that text at each tick without a label."""
    wrong = [
        panel["title"]
        for panel in PANELS
        if panel["fieldConfig"]["defaults"].get("custom", {}).get("scaleDistribution", {}).get("type") == "log"
        and "noValue" in panel["fieldConfig"]["defaults"]
    ]
    assert wrong == []


def test_titles_are_unique() -> None:
    """No two panels of a dashboard have the same title."""
    for board in COMMITTED:
        titles = [panel["title"] for panel in dashboard.panels(board)]
        assert [title for title, times in Counter(titles).items() if times > 1] == []


def test_variables_choose_job_and_instance() -> None:
    """Each dashboard has the variables of the others, so that links between them keep what is chosen."""
    names = [[variable["name"] for variable in board["templating"]["list"]] for board in COMMITTED]
    assert names == 3 * [["datasource", "job", "instance", "direction", "engine", "queue_id", "loki"]]


def test_links_between_dashboards_keep_time_and_choices() -> None:
    """Each dashboard links to the others by their tag."""
    for board in COMMITTED:
        (between,) = (link for link in board["links"] if link["type"] == "dashboards")
        assert {*between["tags"]} <= {*board["tags"]}
        assert between["keepTime"]
        assert between["includeVars"]


def test_a_link_to_the_log_is_what_grafana_reads() -> None:
    """The search is JSON with the Loki that the dashboard chose, and LogQL with the variable of the queue ID."""
    _, _, search = links.explore(links.OF_A_MESSAGE).partition("left=")
    read = json.loads(unquote(search))
    assert read["datasource"] == "${loki}"
    assert read["queries"][0]["expr"] == links.OF_A_MESSAGE
    assert "${queue_id}" in search
