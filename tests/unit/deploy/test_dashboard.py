"""The Grafana dashboards: valid, made from the definitions of the metrics, and complete."""

import copy
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.generator import links, queries, whole
from miltscan.telemetry.metrics import FAMILIES
from tests.harness import dashboard
from tests.harness.programs import CHECKOUT
from tests.unit.deploy.grafana_schema import mistakes

COMMITTED = dashboard.read()
OVERVIEW = next(board for board in COMMITTED if board["uid"] == "miltscan")
PANELS = [panel for board in COMMITTED for panel in dashboard.panels(board)]
QUERIES = [query for board in COMMITTED for query in dashboard.queries(board)]
VARIABLES = [values for board in COMMITTED for values in dashboard.variables(board)]
NOT_OURS = {"up", "ALERTS"}
"""What Prometheus itself knows of what it scrapes, and of its rules."""
ADDED = {"job", "instance", "le", "work"}
"""Labels that Prometheus and histograms add, and one that a query makes."""
ON_NO_PANEL: Mapping[str, str] = {
    "miltscan_sendmail_listening": "miltscan_sendmail_up is 0 with it",
    "miltscan_process_upkeep_timestamp_seconds": "a worker that hangs is replaced after 30 seconds",
    "miltscan_threshold_unscanned_ratio": "a panel has the share of all reasons, the threshold leaves some out",
    **dict.fromkeys(
        ("miltscan_threshold_queue_age_seconds", "miltscan_threshold_queue_messages"),
        "on one panel, the threshold of one queue would flatten the course of the other",
    ),
}
"""Metrics that are on no panel, each with the reason."""


def test_the_files_are_what_the_generator_writes() -> None:
    """`make dashboard` changes nothing, and no file is left of a former dashboard."""
    assert sorted(whole.file(board) for board in whole.BOARDS) == dashboard.FILES
    assert [board.uid for board in whole.BOARDS if whole.file(board).read_text() != whole.text(board)] == []


def test_grafana_can_read_them() -> None:
    """Each key is one of Grafana's schema, and each value has its type."""
    assert [mistake for board in COMMITTED for mistake in mistakes(board)] == []


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
        (("templating", "list", 1, "multy"), True, "multy: no such key"),
        (("templating", "list", 2, "multi"), "yes", "multi: 'yes' is no"),
    ],
)
def test_the_schema_finds_mistakes(path: tuple[str | int, ...], value: object, mistake: str) -> None:
    """The schema reports mistakes; one that accepts anything would test nothing."""
    broken: Any = copy.deepcopy(OVERVIEW)
    place = broken
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert any(mistake in found for found in mistakes(broken)), mistakes(broken)


def rows(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a dashboard."""
    return [panel for panel in board["panels"] if panel["type"] == "row"]


def test_links_to_it_stay_valid() -> None:
    """Links and provisioning use the uids, and each panel of a dashboard has a number of its own."""
    assert {board["uid"] for board in COMMITTED} == {"miltscan", "miltscan-sandwich", "miltscan-internals"}
    for board in COMMITTED:
        numbers = [panel["id"] for panel in (*board["panels"], *dashboard.panels(board)) if "id" in panel]
        assert {*Counter(numbers).values()} <= {1, 2}  # those outside of closed rows are in both lists
        assert len({*numbers}) == len(rows(board)) + len(dashboard.panels(board))


def lacks(panel: Mapping[str, Any]) -> Iterator[str]:
    """Return what a panel needs and does not have."""
    defaults = panel["fieldConfig"]["defaults"]
    if "?" not in panel["description"]:
        yield "a question"
    if panel["datasource"] != {"type": "prometheus", "uid": "${datasource}"}:
        yield "the chosen Prometheus"
    if {target["datasource"]["uid"] for target in panel["targets"]} != {"${datasource}"}:
        yield "the chosen Prometheus for each query"
    match panel["type"]:
        case "table":
            has = len(panel["fieldConfig"]["overrides"]) >= len(panel["targets"])
        case "heatmap":
            has = panel["options"]["yAxis"]["unit"]
        case "state-timeline":
            has = defaults["mappings"]
        case _:
            has = defaults["unit"] and defaults["thresholds"]["steps"]
    if not has:
        yield "units and colours"
    if panel["type"] in {"timeseries", "state-timeline"} and not all(t["legendFormat"] for t in panel["targets"]):
        yield "a legend"


def test_a_panel_explains_itself() -> None:
    """Each panel has the question that it answers, a unit and colours, and queries the chosen Prometheus."""
    assert [(panel["title"], missing) for panel in PANELS for missing in lacks(panel)] == []


def test_panels_do_not_overlap() -> None:
    """All panels are within the grid's 24 columns, and no two of a dashboard overlap."""
    for board in COMMITTED:
        boxes = [panel["gridPos"] for panel in board["panels"] if not panel.get("panels")]
        sections = [[panel["gridPos"] for panel in panels] for _, panels in dashboard.sections(board)]
        assert all(box["x"] + box["w"] <= 24 for section in sections for box in section)
        assert [pair for section in (boxes, *sections) for pair in combinations(section, 2) if overlap(*pair)] == []


def overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """Return whether two boxes have a cell in common."""
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or above)


def grouped(promql: str) -> set[str]:
    """Return the labels that a query groups by."""
    return {label for by in re.findall(r"\bby \(([^)]*)\)", promql) for label in by.split(", ")}


def unknown(promql: str) -> Iterator[str]:
    """Return the names in a query that do not exist, or that it does not narrow to the chosen instances."""
    selectors = re.findall(r"\b(\w+)\{([^{}]*)\}", promql)
    series = set(queries.series(promql))
    if not selectors or re.search(r"\bmiltscan_\w+(?![\w{])", promql):
        yield "a series without braces"
    yield from {name for name, _ in selectors if not name.startswith("miltscan_")} - NOT_OURS
    for name, matchers in selectors:
        optional = "|" if name == "ALERTS" else ""
        for label in ("job", "instance"):
            if f'{label}=~"${label}{optional}"' not in matchers:
                yield f"{name} of every {label}"
        if name not in NOT_OURS:
            yield from {*re.findall(r"(\w+)(?==~|!~|!=|=)", matchers)} - {
                *queries.family(name).labels,
                "job",
                "instance",
            }
    yield from grouped(promql) - {label for name in series for label in queries.family(name).labels} - ADDED


def test_a_query_asks_for_what_exists() -> None:
    """Every series of a query is a metric, and has the labels that the query selects and groups by."""
    assert [(query.where, name) for query in QUERIES for name in unknown(query.promql)] == []


def test_a_legend_names_labels_that_are_there() -> None:
    """Every label of a legend is one that the query groups by."""
    legends = [
        (panel["title"], target["legendFormat"], target["expr"]) for panel in PANELS for target in panel["targets"]
    ]
    named = [(title, expr, {*re.findall(r"\{\{(\w+)\}\}", legend)}) for title, legend, expr in legends]
    wrong = [
        (title, labels)
        for title, expr, labels in named
        if not (labels <= grouped(expr) or (labels == {"instance"} and "by" not in expr))
    ]
    assert wrong == []


@pytest.mark.parametrize("values", VARIABLES, ids=lambda values: values.name)
def test_a_variable_asks_for_what_exists(values: dashboard.Values) -> None:
    """The series of a variable's values is a metric with that label."""
    assert values.label in {*queries.family(values.series).labels, "job", "instance"}


def test_every_metric_is_on_a_panel() -> None:
    """Each metric is on a panel, or in a list with the reason."""
    shown = {queries.family(name).name for query in QUERIES for name in queries.series(query.promql)}
    assert {family.name for family in FAMILIES} - shown == ON_NO_PANEL.keys()


def test_a_series_that_does_not_exist_is_an_error() -> None:
    """The bare name of a histogram is not a series."""
    for name in ("miltscan_no_such_total", "miltscan_message_duration_seconds", "miltscan_workers_sum"):
        with pytest.raises(KeyError):
            queries.narrowed(name)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("miltscan_workers", 'miltscan_workers{job=~"$job", instance=~"$instance"}'),
        ("min(up)", 'min(up{job=~"$job", instance=~"$instance"})'),
        ('ALERTS{a="b"}', 'ALERTS{job=~"$job|", instance=~"$instance|", a="b"}'),
        (
            'miltscan_messages_total{outcome="clean"}',
            'miltscan_messages_total{job=~"$job", instance=~"$instance", direction=~"$direction", outcome="clean"}',
        ),
        (
            'miltscan_messages_total{direction=~".*"}',
            'miltscan_messages_total{job=~"$job", instance=~"$instance", direction=~".*"}',
        ),
    ],
)
def test_series_are_narrowed_to_what_is_chosen(written: str, sent: str) -> None:
    """Each variable narrows the series that have its label and do not match it themselves."""
    assert queries.narrowed(written) == sent


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    command = [sys.executable, "-m", "deploy.grafana.generator", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def test_the_command_helps() -> None:
    """--help describes the command with an example."""
    helped = generate("--help")
    assert helped.returncode == 0
    assert "example" in helped.stdout


def test_the_command_writes(tmp_path: Path) -> None:
    """The command writes to another folder, with links to a copy of the documentation."""
    assert generate("--output", str(tmp_path), "--docs", "https://wiki.example.test/").returncode == 0
    for board in whole.BOARDS:
        written = (tmp_path / whole.file(board).name).read_text()
        assert written == whole.text(board, "https://wiki.example.test")
        assert '"https://wiki.example.test/runbook.md"' in written


def test_without_an_address_nothing_links_to_the_documentation() -> None:
    """The committed dashboards have no link that leads nowhere: only those to Grafana itself."""
    urls = {link["url"] for board in COMMITTED for link in board["links"] if link["type"] == "link"}
    assert urls == {links.explore(links.OF_A_MESSAGE)}


def test_the_command_says_what_it_cannot_write(tmp_path: Path) -> None:
    """A folder that does not exist is one line, without a traceback."""
    refused = generate("--output", str(tmp_path / "missing"))
    assert refused.returncode == 2
    assert "No such file" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_provisioning_names_what_is_there() -> None:
    """Provisioning names the dashboard's folder and its default data source."""
    folder = CHECKOUT / "deploy" / "grafana" / "provisioning"
    assert "path: /var/lib/grafana/dashboards/miltscan" in (folder / "dashboards" / "miltscan.yaml").read_text()
    assert "type: prometheus" in (folder / "datasources" / "miltscan.yaml").read_text()


def test_the_page_describes_each_row() -> None:
    """docs/dashboard.md has a line for each dashboard and each row, in the same order."""
    expected = [name for board in whole.BOARDS for name in (board.title, *board.rows)]
    lines = (CHECKOUT / "docs" / "dashboard.md").read_text().splitlines()
    first = [line.split(" | ")[0].removeprefix("| ").replace("**", "") for line in lines]
    assert [name for name in first if name in expected] == expected
