"""The Grafana dashboard as tests look at it: its panels, and every query in it with the variables filled in."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.harness.programs import CHECKOUT

FILE = CHECKOUT / "deploy" / "grafana" / "dashboards" / "miltscan.json"
_LABEL_VALUES = re.compile(r"label_values\((\w+), (\w+)\)")


class Query(NamedTuple):
    """Some PromQL of the dashboard, and where it stands."""

    where: str
    promql: str


class Values(NamedTuple):
    """A variable's question: the values of a label of a series."""

    name: str
    series: str
    label: str


def read() -> dict[str, Any]:
    """The committed dashboard."""
    dashboard: dict[str, Any] = json.loads(FILE.read_text())
    return dashboard


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels; rows are left out."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """Those of the panels and of the annotations."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Query(f"panel {panel['title']} {target['refId']}", target["expr"])
    for annotation in dashboard["annotations"]["list"]:
        yield Query(f"annotation {annotation['name']}", annotation["expr"])


def variables(dashboard: Mapping[str, Any]) -> Iterator[Values]:
    """What the variables ask Prometheus for."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert found, variable
            yield Values(variable["name"], found[1], found[2])


def filled(promql: str, values: Mapping[str, str]) -> str:
    """`promql` as Grafana sends it; longer names first, as one may begin another. AssertionError if a $ stays."""
    for name in sorted(values, key=len, reverse=True):
        promql = promql.replace(f"${name}", values[name])
    assert "$" not in promql, promql
    return promql
