"""The rules for Prometheus match the metrics, the runbook matches the alerts, and each alert has cases both ways.

What the rules answer is tested by promtool, in tests/e2e/test_rules.py.
"""

import re
from collections.abc import Iterator
from math import prod

import pytest
from prometheus_client import Histogram

from miltscan.config.settings import Settings
from miltscan.config.thresholds import ThresholdSettings
from miltscan.core import thresholds
from miltscan.core.verdict import Fault, Limit
from miltscan.telemetry import mail_metrics, metrics
from tests.harness import rules
from tests.harness.programs import CHECKOUT
from tests.harness.rules import Rule

RUNBOOK = CHECKOUT / "docs" / "runbook.md"
RECORDED = rules.read(rules.RECORDING)
ALERTS = rules.read(rules.ALERTS)
RULES = [*RECORDED, *ALERTS]
EVERYWHERE = {"job", "instance"}
"""Labels that Prometheus gives to each series it scrapes."""


def series() -> dict[str, set[str]]:
    """Return every series that can be scraped, with its own labels."""
    found: dict[str, set[str]] = {"up": set()}
    for family in metrics.FAMILIES:
        found[family.name] = set(family.labels)
        if family.kind is Histogram:
            found |= {f"{family.name}_{part}": set(family.labels) for part in ("count", "sum")}
            found[f"{family.name}_bucket"] = {*family.labels, "le"}
    return found


def recorded() -> dict[str, set[str]]:
    """Return every recorded series, with the labels that its rule names."""
    return {rule.name: rule.grouping | set(rule.labels) for rule in RECORDED}


SERIES = {**series(), **recorded()}


def test_each_name_is_a_metric_or_recorded() -> None:
    """A rule on a metric that does not exist would be silent for ever."""
    assert [(rule.name, name) for rule in RULES for name in rule.names - SERIES.keys()] == []
    assert [rule.name for rule in RULES if not rule.names and not rule.expression.startswith("vector(")] == []


def test_labels_exist() -> None:
    """A label in braces belongs to that metric; one to group by or to join on belongs to a metric of the expression."""
    matched = [(rule.name, name, label) for rule in RULES for name, label, _ in rule.matchers]
    assert [match for match in matched if match[2] not in SERIES[match[1]] | EVERYWHERE] == []
    known = {rule.name: {label for name in rule.names for label in SERIES[name]} for rule in RULES}
    assert [(rule.name, label) for rule in RULES for label in rule.grouping - EVERYWHERE - known[rule.name]] == []


def values(label: str) -> Iterator[str]:
    """Yield the values of a label that the rules select, alternatives one by one."""
    for rule in RULES:
        for _, name, pattern in rule.matchers:
            if name == label:
                yield from pattern.split("|")


def setting(name: str, **labels: str) -> float:
    """Return the default of a setting in the rules."""
    (rule,) = (rule for rule in RECORDED if rule.name == f"miltscan:setting:{name}" and rule.labels == labels)
    product = re.fullmatch(r"vector\(([0-9.* ]+)\)", rule.expression)
    assert product
    return prod(float(factor) for factor in product[1].split("*"))


def test_settings_equal_the_thresholds_of_the_service() -> None:
    """An alert waits for three missed tests, and for some messages of the largest size."""
    service = Settings()
    assert setting("canary_age_seconds") >= 3 * service.engines[0].canary_interval
    assert setting("spool_free_bytes") >= 3 * service.limits.message_size


def test_alerts_compare_with_the_thresholds_of_the_settings() -> None:
    """Each threshold that the service exports is one of an alert, and none of them is a number in the rules."""
    exported = {family.name for family in metrics.FAMILIES if family.name.startswith("miltscan_threshold_")}
    assert {name for rule in ALERTS for name in rule.names} & SERIES.keys() >= exported
    by_queue = {f"{queue}_{key}" for queue in thresholds.QUEUE_AGE for key in ("age", "messages")}
    assert {*ThresholdSettings.model_fields} - by_queue == {"signature_age", "latency", "unscanned_percent"}


def test_alerts_and_page_have_the_same_windows() -> None:
    """A share and a latency are those of the same minutes and of as many messages on the page and in the alerts."""
    share, latency = (
        next(one for one in ALERTS if one.name == f"Miltscan{name}") for name in ("UnscannedShare", "LatencyHigh")
    )
    minutes = f"{thresholds.SHARE_WINDOW / 60:g}m"
    assert f"ratio_rate{minutes} >" in share.expression
    assert f"[{minutes}])) >= {thresholds.LEAST_UNSCANNED}" in share.expression
    minutes = f"{thresholds.LATENCY_WINDOW / 60:g}m"
    assert f"p95_{minutes} >" in latency.expression
    assert f"[{minutes}])) >= {thresholds.LEAST_MESSAGES}" in latency.expression


def test_label_values_exist() -> None:
    """Reasons are of the closed list, and the latency objective is a bucket of the histogram."""
    assert {*values("reason")} <= {*Limit, *Fault}
    buckets = mail_metrics.MESSAGE_SECONDS.parent._upper_bounds  # noqa: SLF001 - it has no public name
    assert {*map(float, values("le"))} <= {*buckets}
    assert {*values("le")} == {str(thresholds.LATENCY)}


def test_an_alert_says_what_it_means() -> None:
    """Each alert has a severity, a summary of one line, a description, the place of its section, and a dashboard."""
    wrong = [
        (rule.name, rule.labels, rule.annotations)
        for rule in ALERTS
        if not rule.name.startswith("Miltscan")
        or rule.labels["severity"] not in {"critical", "warning"}
        or len(rule.annotations["summary"]) >= 100
        or len(rule.annotations["description"]) <= 60
        or rule.annotations["runbook_url"] != f"docs/runbook.md#{rule.name.lower()}"
        or not rule.annotations["dashboard_url"].startswith("d/miltscan")
    ]
    assert wrong == []


def sections() -> dict[str, str]:
    """Return the runbook's sections on alerts by their headings."""
    parts = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part for part in parts if part.startswith("Miltscan")}


def test_the_runbook_has_a_section_for_each_alert() -> None:
    """The sections have the order of the file, and none is left of a removed alert."""
    assert [*sections()] == [rule.name for rule in ALERTS]


def test_a_section_is_whole() -> None:
    """Each section states what clients receive, the first command, the causes, and when to silence the alert."""
    parts = (
        r"- \*\*Clients receive\*\* ",
        r"- \*\*Run first\*\*\s+`[^`]+`",
        r"- \*\*Usual causes\*\*\n",
        r"- \*\*Silence\*\* ",
    )
    assert [(name, part) for name, text in sections().items() for part in parts if not re.search(part, text)] == []


def test_the_runbook_names_alerts_and_settings_that_exist() -> None:
    """Every alert, pattern and setting in the runbook exists."""
    text = RUNBOOK.read_text()
    alerts = [rule.name for rule in ALERTS]
    patterns = re.findall(r'alertname=~?"([^"]+)"', text)
    assert [pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in alerts)] == []
    prose = re.sub(r'alertname=~?"[^"]+"', "", text)
    assert {*re.findall(r"\bMiltscan[A-Z]\w+", prose)} <= {*alerts}
    assert {*re.findall(r"\b\w+:miltscan\w*:\w+|miltscan:setting:\w+", text)} <= {rule.name for rule in RECORDED}
    assert {*re.findall(r"`(miltscan_\w+)`", text)} <= SERIES.keys()


Case = tuple[str, tuple[bool, ...]]
CASES = [group for path in rules.CASES for group in rules.load(path)["tests"]]


def tried() -> set[Case]:
    """Return the alert of each of promtool's cases, and whether it fires at the times of the case."""
    looks = [group["alert_rule_test"] for group in CASES if "alert_rule_test" in group]
    return {(case[0]["alertname"], tuple(bool(look["exp_alerts"]) for look in case)) for case in looks}


def test_each_alert_is_tried_both_ways() -> None:
    """Each alert has a case without it and a case with it, which looks before `for:` is over where it has one."""
    expected = {(rule.name, fires) for rule in ALERTS for fires in ((False,), (False, True) if rule.waits else (True,))}
    assert expected - tried() == set()


def test_each_case_is_of_an_alert() -> None:
    """No case is left of a removed alert."""
    assert {name for name, _ in tried()} == {rule.name for rule in ALERTS}


def test_each_recording_rule_is_tried() -> None:
    """Each recording rule has a case that compares its values."""
    expressions = [case["expr"] for group in CASES for case in group.get("promql_expr_test", [])]
    names = {name for expression in expressions for name in Rule("", expression, alert=False).names}
    assert names == {rule.name for rule in RECORDED}


@pytest.mark.parametrize(
    ("expression", "names", "grouping"),
    [
        ('sum by (job, x) (rate(miltscan_a_total{where="miltscan_b"}[5m]))', {"miltscan_a_total"}, {"job", "x"}),
        (
            "job:miltscan_a:b > on (queue) group_left () miltscan:setting:c",
            {"job:miltscan_a:b", "miltscan:setting:c"},
            {"queue"},
        ),
        ('absent(up{job="miltscan"})', {"up"}, set()),
        ("instance:miltscan_a:total / miltscan_b", {"instance:miltscan_a:total", "miltscan_b"}, set()),
    ],
)
def test_expressions_are_read(expression: str, names: set[str], grouping: set[str]) -> None:
    """The checks above see every name in the expressions."""
    rule = Rule("", expression, alert=False)
    assert (rule.names, rule.grouping) == (names, grouping)
