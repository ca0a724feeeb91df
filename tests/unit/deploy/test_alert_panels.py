"""Each alert leads to the panel that shows what it is about."""

import json
import re
from collections.abc import Iterator
from typing import Any

from deploy.grafana.generator import alerts, whole
from tests.harness import rules

RECORDED = {rule.name: rule for rule in rules.read(rules.RECORDING)}
ALERTS = rules.read(rules.ALERTS)
NO_METRIC = {"MiltscanRulesMissing"}
"""What is missing cannot be shown: the panel lists the alerts, of which there are none then."""


def metrics(names: set[str]) -> set[str]:
    """The metrics behind names of which some are recorded, without the endings of histograms."""
    found: set[str] = set()
    for name in names:
        below = RECORDED[name].names - {name} if name in RECORDED else set()
        found |= metrics(below) if below else {re.sub("_(bucket|count|sum)$", "", name)}
    return found


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each panel by its address."""
    for board in whole.BOARDS:
        content = json.loads(whole.text(board))
        for panel in content["panels"]:
            for one in (panel, *panel.get("panels", ())):
                yield f"d/{board.uid}?viewPanel={one['id']}", one


def shown(panel: dict[str, Any]) -> set[str]:
    """The metrics of a panel."""
    queries = " ".join(target["expr"] for target in panel.get("targets", ()))
    return metrics(set(re.findall(r"\b(?:\w*:?miltscan[\w:]+|up)\b", queries)))


def test_each_alert_leads_to_a_panel_of_its_metrics() -> None:
    """`make dashboard` writes the address; a new alert is added to the table of deploy/grafana/generator/alerts.py."""
    found = dict(panels())
    wrong = {
        rule.name: address
        for rule in ALERTS
        if (address := rule.annotations["dashboard_url"]) != alerts.addresses().get(rule.name)
        or (rule.name not in NO_METRIC and shown(found[address]).isdisjoint(metrics(rule.names)))
    }
    assert wrong == {}


def test_the_table_has_no_other_alert() -> None:
    """None is left of an alert that was removed or renamed."""
    assert alerts.addresses().keys() == {rule.name for rule in ALERTS}


def test_addresses_are_written_once_for_each_alert() -> None:
    """Nothing else changes; an alert that the table does not have leads to the overview."""
    text = alerts.FILE.read_text()
    assert alerts.with_addresses(text) == text
    assert alerts.with_addresses(re.sub("(dashboard_url: ).*", r"\1x", text)) == text
    new = "- alert: MiltscanNew\n  annotations:\n    dashboard_url: x\n- alert: Other\n"
    assert alerts.with_addresses(new) == new.replace("url: x", "url: d/miltscan")
