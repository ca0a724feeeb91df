"""The Grafana dashboard: valid, made from the catalogue, and complete."""

import copy
import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.generator import queries, whole
from miltscan.telemetry.metrics import FAMILIES
from tests.harness import dashboard
from tests.harness.programs import CHECKOUT
from tests.unit.deploy.grafana_schema import mistakes

COMMITTED = dashboard.read()
PANELS = dashboard.panels(COMMITTED)
QUERIES = [*dashboard.queries(COMMITTED)]
NOT_OURS = {"up"}
"""What Prometheus itself knows of what it scrapes."""
ADDED = {"instance", "le"}
"""Labels that Prometheus and histograms add."""
ON_NO_PANEL: Mapping[str, str] = {}
"""Metrics that are on no panel, each with the reason."""


def test_the_file_is_what_the_generator_writes() -> None:
    """`make dashboard` changes nothing."""
    assert whole.FILE == dashboard.FILE
    assert whole.FILE.read_text() == whole.text()


def test_grafana_can_read_it() -> None:
    """Each key is one of Grafana's schema, each value of the type that it wants."""
    assert mistakes(COMMITTED) == []


@pytest.mark.parametrize(
    ("path", "value", "mistake"),
    [
        (("titel",), "x", "dashboard.titel: no such key"),
        (("title",), 1, "dashboard.title: 1 is no"),
        (("graphTooltip",), 7, "dashboard.graph_tooltip: 7 is no"),
        (("panels", 1, "gridPos", "w"), "3", "grid_pos.w: '3' is no"),
        (("panels", 1, "options", "colorMode"), "rainbow", "options.color_mode: 'rainbow' is no"),
        (("panels", 1, "targets", 0, "exprs"), "up", "targets[0].exprs: no such key"),
        (("panels", 9, "fieldConfig", "defaults", "custom", "fillOpacity"), "30", "fill_opacity: '30' is no"),
        (("panels", -1, "transformations", 0, "idd"), "x", "transformations[].idd: no such key"),
        (("templating", "list", 2, "multi"), "yes", "multi: 'yes' is no"),
    ],
)
def test_the_schema_finds_mistakes(path: tuple[str | int, ...], value: object, mistake: str) -> None:
    """A schema that takes anything would never be noticed."""
    broken: Any = copy.deepcopy(COMMITTED)
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert any(mistake in found for found in mistakes(broken)), mistakes(broken)


def test_ways_to_point_at_it_stay() -> None:
    """Its uid is in links and in the provisioning; each panel has a number of its own."""
    assert COMMITTED["uid"] == "miltscan"
    numbers = [panel["id"] for panel in COMMITTED["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: Mapping[str, Any]) -> None:
    """It has the question that it answers, a unit, colours, and asks the chosen Prometheus."""
    assert panel["description"].count("?") >= 1
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
    defaults = panel["fieldConfig"]["defaults"]
    match panel["type"]:
        case "table":
            assert len(panel["fieldConfig"]["overrides"]) >= len(panel["targets"])
        case "heatmap":
            assert panel["options"]["yAxis"]["unit"]
        case "state-timeline":
            assert defaults["mappings"]
        case _:
            assert defaults["unit"]
            assert defaults["thresholds"]["steps"]
    if panel["type"] in {"timeseries", "state-timeline"}:
        assert all(target["legendFormat"] for target in panel["targets"])


def test_panels_do_not_overlap() -> None:
    """All are within the grid's 24 columns, and each place is taken once."""
    boxes = [panel["gridPos"] for panel in COMMITTED["panels"]]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)
    for one, other in combinations(boxes, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_a_query_asks_for_what_exists(query: dashboard.Query) -> None:
    """Its series are of the catalogue, and have the labels that it selects and groups by."""
    selectors = re.findall(r"\b(\w+)\{([^{}]*)\}", query.promql)
    assert selectors
    assert {name for name, _ in selectors} >= set(queries.series(query.promql))
    assert {name for name, _ in selectors if not name.startswith("miltscan_")} <= NOT_OURS
    for name, matchers in selectors:
        used = {*re.findall(r"(\w+)(?==~|!~|!=|=)", matchers)}
        assert 'instance=~"$instance"' in matchers
        assert name in NOT_OURS or used <= {*queries.family(name).labels, "instance"}, name
    labels = {label for name in queries.series(query.promql) for label in queries.family(name).labels}
    grouped = {label for by in re.findall(r"\bby \(([^)]*)\)", query.promql) for label in by.split(", ")}
    assert grouped <= labels | ADDED


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_legend_names_labels_that_are_there(panel: Mapping[str, Any]) -> None:
    """Every label of a legend is one that the query groups by; a series without it would have half a name."""
    for target in panel["targets"]:
        named = {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])}
        grouped = {label for by in re.findall(r"\bby \(([^)]*)\)", target["expr"]) for label in by.split(", ")}
        assert named <= grouped or (named == {"instance"} and "by" not in target["expr"])


@pytest.mark.parametrize("values", [*dashboard.variables(COMMITTED)], ids=lambda values: values.name)
def test_a_variable_asks_for_what_exists(values: dashboard.Values) -> None:
    """The series of its values is one of the catalogue and has the label."""
    assert values.label in {*queries.family(values.series).labels, "instance"}


def test_every_metric_is_on_a_panel() -> None:
    """Or in a list with the reason."""
    shown = {queries.family(name).name for query in QUERIES for name in queries.series(query.promql)}
    assert {family.name for family in FAMILIES} - shown == ON_NO_PANEL.keys()


def test_a_series_that_does_not_exist_is_an_error() -> None:
    """The name of a histogram alone is no series."""
    for name in ("miltscan_no_such_total", "miltscan_message_duration_seconds", "miltscan_workers_sum"):
        with pytest.raises(KeyError):
            queries.narrowed(name)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("miltscan_workers", 'miltscan_workers{instance=~"$instance"}'),
        (
            'miltscan_messages_total{outcome="clean"}',
            'miltscan_messages_total{instance=~"$instance", direction=~"$direction", outcome="clean"}',
        ),
        (
            'miltscan_messages_total{direction=~".*"}',
            'miltscan_messages_total{instance=~"$instance", direction=~".*"}',
        ),
    ],
)
def test_series_are_narrowed_to_what_is_chosen(written: str, sent: str) -> None:
    """By each variable whose label they have, unless they say something of it themselves."""
    assert queries.narrowed(written) == sent


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, run as a person does."""
    command = [sys.executable, "-m", "deploy.grafana.generator", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def test_the_command_helps() -> None:
    """--help says what it does, with an example."""
    helped = generate("--help")
    assert helped.returncode == 0
    assert "example" in helped.stdout


def test_the_command_writes(tmp_path: Path) -> None:
    """To another place, with links to another copy of the documentation."""
    assert generate("--output", str(tmp_path / "it.json"), "--docs", "https://wiki.example.test").returncode == 0
    written = (tmp_path / "it.json").read_text()
    assert written == whole.text("https://wiki.example.test") != whole.text()


def test_the_command_says_what_it_cannot_write(tmp_path: Path) -> None:
    """In a line, without a traceback."""
    refused = generate("--output", str(tmp_path / "missing" / "it.json"))
    assert refused.returncode == 2
    assert "No such file" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_provisioning_names_what_is_there() -> None:
    """The folder that Grafana is told to read, and the data source that the dashboard takes by default."""
    folder = CHECKOUT / "deploy" / "grafana" / "provisioning"
    assert "path: /var/lib/grafana/dashboards/miltscan" in (folder / "dashboards" / "miltscan.yaml").read_text()
    assert "type: prometheus" in (folder / "datasources" / "miltscan.yaml").read_text()


def test_the_page_tells_of_each_row() -> None:
    """docs/dashboard.md has a line for each, in the same order."""
    lines = (CHECKOUT / "docs" / "dashboard.md").read_text().splitlines()
    told = [
        line.split(" | ")[0].removeprefix("| ")
        for line in lines
        if line.removeprefix("| ").startswith(tuple(whole.ROWS))
    ]
    assert told == [*whole.ROWS]
