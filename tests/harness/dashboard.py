"""The Grafana dashboards as tests look at them: their panels, and every query with the variables filled in."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.harness.programs import CHECKOUT

FOLDER = CHECKOUT / "deploy" / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
_LABEL_VALUES = re.compile(r"label_values\((\w+)(\{.*\})?, (\w+)\)")


class Query(NamedTuple):
    """Some PromQL of the dashboard, where it stands, and whether the panel says why it may have no result."""

    where: str
    promql: str
    may_be_empty: bool


class Values(NamedTuple):
    """A variable's question: the values of a label of a series."""

    name: str
    series: str
    label: str


def read() -> list[dict[str, Any]]:
    """The committed dashboards."""
    return [json.loads(file.read_text()) for file in FILES]


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels, also those of closed rows; rows are left out."""
    return [panel for _, section in sections(dashboard) for panel in section]


def sections(dashboard: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The panels of each row with its title, those before the first row first."""
    found: list[tuple[str, list[dict[str, Any]]]] = [("first screen", [])]
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            found.append((panel["title"], [*panel.get("panels", [])]))
        else:
            found[-1][1].append(panel)
    return [section for section in found if section[1]]


def queries(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """Those of the panels and of the annotations."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield Query(
                f"panel {panel['title']} {target['refId']}",
                target["expr"],
                "noValue" in panel["fieldConfig"]["defaults"],
            )
    for annotation in dashboard["annotations"]["list"]:
        yield Query(f"annotation {annotation['name']}", annotation["expr"], may_be_empty=True)


def variables(dashboard: Mapping[str, Any]) -> Iterator[Values]:
    """What the variables ask Prometheus for."""
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert found, variable
            yield Values(variable["name"], found[1], found[3])


def filled(promql: str, values: Mapping[str, str]) -> str:
    """`promql` as Grafana sends it; longer names first, as one may begin another. AssertionError if a $ stays."""
    for name in sorted(values, key=len, reverse=True):
        promql = promql.replace(f"${name}", values[name])
    assert "$" not in promql, promql
    return promql
