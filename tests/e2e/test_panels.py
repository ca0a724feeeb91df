"""The dashboards over a day of a default installation: one clamd, no quarantine, no probe, no anti-spam engine."""

from collections.abc import Iterator

import pytest

from tests.harness import dashboard
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
