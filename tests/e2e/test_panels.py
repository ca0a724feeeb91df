"""The dashboards over a day of a default installation (one clamd, no quarantine), and what the panel State shows."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.harness import dashboard, programs
from tests.harness.prometheus import Prometheus
from tests.harness.sandwich import private_folder
from tests.panels import asking, day
from tests.panels.draw import scraped

PANELS = [panel for board in dashboard.read() for panel in dashboard.panels(board)]


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    """It knows the day; nothing is scraped."""
    with private_folder() as folder, scraped(folder, default=True) as knowing:
        yield knowing


def test_no_panel_is_empty_without_a_reason(prometheus: Prometheus) -> None:
    """A panel has data, or a text that says why it has none."""
    empty = []
    for panel in PANELS:
        answers = asking.results(prometheus, panel, day.BEGIN, day.END)
        if not any(answer["series"] for answer in answers) and "noValue" not in panel["fieldConfig"]["defaults"]:
            empty.append(panel["title"])
    assert empty == []


def test_no_graph_has_too_many_lines(prometheus: Prometheus) -> None:
    """A legend of more than eight names does not fit below a graph."""
    many = []
    for panel in PANELS:
        if panel["type"] == "timeseries":
            answers = asking.results(prometheus, panel, day.BEGIN, day.END)
            if sum(len(answer["series"]) for answer in answers) > 8:
                many.append(panel["title"])
    assert many == []


def test_marks_show_what_happened(prometheus: Prometheus) -> None:
    """A reload and new signatures are moments, a firing alert has an end."""
    for board in dashboard.read():
        marks = asking.marks(prometheus, board, day.BEGIN, day.END)
        assert {mark["colour"] for mark in marks} == {"blue", "purple", "red"}
        assert {mark["colour"] for mark in marks if mark["begin"] < mark["end"]} == {"red"}


HEALTHY: Mapping[str, int | None] = {
    'up{job="miltscan", instance="mx"}': 1,
    'miltscan_workers{job="miltscan", instance="mx"}': 2,
    'miltscan_workers_configured{job="miltscan", instance="mx"}': 2,
    'miltscan_socket_bound{job="miltscan", instance="mx", socket="milter.socket"}': 1,
    'miltscan_engine_required{job="miltscan", instance="mx", engine="clamd"}': 1,
    'miltscan_engine_required{job="miltscan", instance="mx", engine="rspamd"}': 0,
    'miltscan_engine_up{job="miltscan", instance="mx", engine="clamd", server="a"}': 1,
    'miltscan_engine_up{job="miltscan", instance="mx", engine="clamd", server="b"}': 1,
    'miltscan_engine_up{job="miltscan", instance="mx", engine="rspamd", server="c"}': 1,
    'miltscan_sendmail_up{job="miltscan", instance="mx", queue="delivery"}': 1,
}
"""The series of a host on which everything works."""
NOT_REACHABLE, CANNOT_SCAN, DEGRADED, OK = range(4)


def changed(**values: int | None) -> Mapping[str, int | None]:
    """Return the series of a host with other values for those whose text has the name; None for no series."""
    return {
        series: next((value for name, value in values.items() if name in series), before)
        for series, before in HEALTHY.items()
    }


@pytest.mark.parametrize(
    ("series", "state"),
    [
        (HEALTHY, OK),
        (changed(miltscan_sendmail=None), OK),
        (changed(miltscan_engine_up=0), CANNOT_SCAN),
        (changed(rspamd=0, b=1), DEGRADED),
        ({**HEALTHY, 'miltscan_engine_up{job="miltscan", instance="mx", engine="clamd", server="b"}': 0}, DEGRADED),
        (changed(sendmail_up=0), DEGRADED),
        (changed(socket_bound=0), CANNOT_SCAN),
        ({**HEALTHY, 'miltscan_workers{job="miltscan", instance="mx"}': 1}, DEGRADED),
        ({**changed(miltscan_engine_up=None), 'miltscan_workers{job="miltscan", instance="mx"}': None}, CANNOT_SCAN),
        ({**dict.fromkeys(HEALTHY), 'up{job="miltscan", instance="mx"}': 0}, NOT_REACHABLE),
        (dict.fromkeys(HEALTHY), NOT_REACHABLE),
    ],
)
def test_the_state_is_that_of_the_worst_part(series: Mapping[str, int | None], state: int, tmp_path: Path) -> None:
    """Mail that cannot be scanned is red, a part that others replace is orange, and nothing is never green."""
    (panel,) = (panel for panel in PANELS if panel["title"] == "State")
    values = {"job": ".+", "instance": ".+", "engine": ".+"}
    case = {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": f"{value}x5"} for name, value in series.items() if value is not None
        ],
        "promql_expr_test": [
            {
                "expr": dashboard.filled(panel["targets"][0]["expr"], values),
                "eval_time": "3m",
                "exp_samples": [{"labels": "{}", "value": state}],
            }
        ],
    }
    file = tmp_path / "state.yml"
    file.write_text(json.dumps({"tests": [case]}))  # JSON is YAML
    command: list[str | Path] = [programs.find("promtool"), "test", "rules", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
