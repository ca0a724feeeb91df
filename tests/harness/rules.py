"""Reads the rules of deploy/prometheus, and what stands in their expressions; evaluates nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.harness.programs import CHECKOUT

FOLDER = CHECKOUT / "deploy" / "prometheus"
RECORDING = FOLDER / "miltscan.rules.yml"
ALERTS = FOLDER / "miltscan.alerts.yml"
CASES = sorted((FOLDER / "tests").glob("*.yml"))
"""Files for `promtool test rules`."""

_STRING = re.compile(r'"[^"]*"')
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on|group_left|without|ignoring)\s*\(([^)]*)\)")
_NAME = re.compile(r"\b(?:miltscan_\w+|\w*:?miltscan[\w]*:[\w:]+|up)\b")


@dataclass(frozen=True, slots=True)
class Rule:
    """A recording rule or an alert."""

    name: str
    expression: str
    alert: bool
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    waits: bool = False
    """Whether it has a `for:`."""

    @property
    def names(self) -> set[str]:
        """The metrics and recorded series in its expression."""
        return set(_NAME.findall(_STRING.sub('""', self.expression)))

    @property
    def matchers(self) -> Iterator[tuple[str, str, str]]:
        """Metric, label and pattern of each matcher in braces."""
        for metric, inside in _SELECTOR.findall(self.expression):
            for label, pattern in _MATCHER.findall(inside):
                yield metric, label, pattern

    @property
    def grouping(self) -> set[str]:
        """The labels that it groups by or joins on."""
        lists = _GROUPING.findall(_STRING.sub('""', self.expression))
        return {label.strip() for found in lists for label in found.split(",")} - {""}


def read(path: Path) -> list[Rule]:
    """The rules of a file, in order."""
    return [_rule(entry) for group in load(path)["groups"] for entry in group["rules"]]


def _rule(entry: dict[str, Any]) -> Rule:
    name = entry.get("alert") or entry["record"]
    texts = entry.get("labels", {}), entry.get("annotations", {})
    return Rule(name, entry["expr"], "alert" in entry, *texts, waits="for" in entry)


def load(path: Path) -> Any:  # noqa: ANN401 - any content of the file
    """A YAML file."""
    return yaml.safe_load(path.read_text())


def hurried(path: Path, folder: Path) -> Path:
    """A copy in `folder` of a file of rules that evaluates every second, and whose alerts wait one second."""
    content = load(path)
    for group in content["groups"]:
        group.pop("interval", None)
        for entry in group["rules"]:
            entry.update({"for": "1s"} if "for" in entry else {})
    copy = folder / path.name
    copy.write_text(yaml.safe_dump(content))
    return copy
