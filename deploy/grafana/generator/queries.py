"""PromQL for panels: restricts each series to the choices of the dashboard's variables. It knows no panel.

Panels name a series as `miltscan_messages_total{outcome="clean"}`. This module adds matchers for instance, direction
and engine to each series that has the label and does not match it itself, so no panel forgets them.
"""

import re
from typing import Any

from docs.generator.metric_questions import QUESTIONS
from miltscan.telemetry.family import Family
from miltscan.telemetry.metrics import FAMILIES

ALL = ".*"
"""The value of a variable when all its values are chosen. It also matches series without the label."""
VARIABLES = ("instance", "direction", "engine")
_SERIES = re.compile(r"\b(miltscan_\w+)(?:\{([^{}]*)\})?")


def narrowed(promql: str) -> str:
    """Return `promql` with the variables' matchers in each series; KeyError for a series that does not exist."""
    return _SERIES.sub(_narrowed, promql)


def questions(promql: str) -> list[str]:
    """Return the questions that the metrics in `promql` answer, in their order, each once."""
    names = (family(name).name.removeprefix("miltscan_") for name in series(promql))
    return [*dict.fromkeys(QUESTIONS[name] for name in names)]


def series(promql: str) -> list[str]:
    """Return the names of the series in `promql`."""
    return [name for name, _ in _SERIES.findall(promql)]


def family(name: str) -> Family[Any]:
    """Return the metric of a series; a histogram has several series. KeyError without a metric."""
    parts = {True: ("_bucket", "_count", "_sum"), False: ("",)}
    return {f"{one.name}{part}": one for one in FAMILIES for part in parts[one.kind.__name__ == "Histogram"]}[name]


def _narrowed(match: re.Match[str]) -> str:
    name, own = match[1], match[2] or ""
    labels = {"instance", *family(name).labels}
    chosen = [f'{label}=~"${label}"' for label in VARIABLES if label in labels and not re.search(rf"\b{label}\b", own)]
    return f"{name}{{{', '.join([*chosen, own] if own else chosen)}}}"


def rate(selector: str, by: str = "") -> str:
    """Return the sum of the rates of counters (per second), in total or by some labels."""
    return _sum(f"rate({selector}[$__rate_interval])", by)


def increase(selector: str, by: str = "", over: str = "$__range") -> str:
    """Return the sum of the increases of counters over the dashboard's time range, in total or by some labels."""
    return _sum(f"increase({selector}[{over}])", by)


def grown(selector: str, by: str = "", over: str = "$__range") -> str:
    """Return the same for counters that appear with their first event, which counts as well.

    A counter that did not exist at the beginning has grown by its whole value.
    """
    return _sum(f"(increase({selector}[{over}]) and {selector} offset {over}) or {selector}", by)


def seen(counter: str, by: str) -> str:
    """Return the rates of a counter with many known label values, only for values that occurred in the time shown."""
    return or_none(f"{rate(counter, by)} and {increase(counter, by)} > 0", by)


def quantile(share: float, histogram: str, by: str = "") -> str:
    """Return the value that this share of a histogram's observations does not exceed."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval])))"


def or_none(promql: str, label: str) -> str:
    """Return `promql`, or a 0 with the label value `none`, because an empty panel looks broken."""
    return f'{promql} or on() label_replace(vector(0), "{label}", "none", "", "")'


def _sum(promql: str, by: str) -> str:
    return f"sum by ({by}) ({promql})" if by else f"sum({promql})"
