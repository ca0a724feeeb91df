"""The queries of a dashboard as Grafana sends them: variables filled in, steps by the width of the panel."""

from collections.abc import Mapping
from typing import Any

from tests.harness import dashboard
from tests.harness.prometheus import Prometheus
from tests.panels.samples import SCRAPES

_ALL = {"job": ".+", "instance": ".+", "direction": ".+", "engine": ".+"}
COLUMN = 65
"""Pixels of a column of the grid, in a window of 1,560 pixels."""


def step(panel: Mapping[str, Any], seconds: int) -> int:
    """Return the seconds between two points of a panel: about one in two pixels, and no more than one a scrape."""
    exact = 2 * seconds / (panel["gridPos"]["w"] * COLUMN)
    return max(SCRAPES, int(-(-exact // SCRAPES) * SCRAPES))


def _values(every: int, begin: int, end: int) -> dict[str, str]:
    return {
        **_ALL,
        "__rate_interval": f"{max(every + SCRAPES, 4 * SCRAPES)}s",
        "__interval": f"{every}s",
        "__range": f"{end - begin}s",
        "__from": str(1000 * begin),
    }


def marks(prometheus: Prometheus, board: Mapping[str, Any], begin: int, end: int) -> list[dict[str, Any]]:
    """Return the annotations of a dashboard: times in milliseconds, colour and name."""
    found = []
    for annotation in board["annotations"]["list"]:
        asked = dashboard.filled(annotation["expr"], _values(SCRAPES, begin, end))
        series = prometheus.course(asked, begin, end, SCRAPES)
        if annotation.get("useValueForTime"):
            spans = {(float(value), float(value)) for one in series for _, value in one["values"]}
        else:
            spans = {(1000 * one["values"][0][0], 1000 * one["values"][-1][0]) for one in series}
        colour = annotation["iconColor"]
        found += [{"begin": begins, "end": ends, "colour": colour} for begins, ends in sorted(spans)]
    return found


def results(prometheus: Prometheus, panel: Mapping[str, Any], begin: int, end: int) -> list[dict[str, Any]]:
    """Return the results of the queries of a panel, in the form of `panels.jsx`."""
    every = step(panel, end - begin)
    values = _values(every, begin, end)
    return [
        {
            "letter": target["refId"],
            "format": target["legendFormat"],
            "series": (
                prometheus.instant(dashboard.filled(target["expr"], values), end)
                if target.get("instant")
                else prometheus.course(dashboard.filled(target["expr"], values), begin, end, every)
            ),
        }
        for target in panel["targets"]
    ]
