"""PromQL for panels: restricts each series to the choices of the dashboard's variables. It knows no panel.

Panels name a series as `miltscan_messages_total{outcome="clean"}`. This module adds matchers for job, instance,
direction and engine to each series that has the label and does not match it itself, so no panel forgets them.
"""

import re
from typing import Any

from docs.generator.metric_questions import QUESTIONS
from miltscan.telemetry.family import Family
from miltscan.telemetry.metrics import FAMILIES

ALL = ".+"
"""The value of a variable when all its values are chosen."""
VARIABLES = ("job", "instance", "direction", "engine")
_SERIES = re.compile(r"\b(miltscan_\w+|up|ALERTS)\b(?:\{([^{}]*)\})?")
_FROM_PROMETHEUS = ("up", "ALERTS")
"""Series that Prometheus makes itself. An alert on all instances has no label `instance`, and is always shown."""


def narrowed(promql: str) -> str:
    """Return `promql` with the variables' matchers in each series; KeyError for a series that does not exist."""
    return _SERIES.sub(_narrowed, promql)


def questions(promql: str) -> list[str]:
    """Return the questions that the metrics in `promql` answer, in their order, each once."""
    names = (family(name).name.removeprefix("miltscan_") for name in series(promql))
    return [*dict.fromkeys(QUESTIONS[name] for name in names)]


def series(promql: str) -> list[str]:
    """Return the names of miltscan's series in `promql`."""
    return [name for name, _ in _SERIES.findall(promql) if name not in _FROM_PROMETHEUS]


def family(name: str) -> Family[Any]:
    """Return the metric of a series; a histogram has several series. KeyError without a metric."""
    parts = {True: ("_bucket", "_count", "_sum"), False: ("",)}
    return {f"{one.name}{part}": one for one in FAMILIES for part in parts[one.kind.__name__ == "Histogram"]}[name]


def _narrowed(match: re.Match[str]) -> str:
    name, own = match[1], match[2] or ""
    labels = {"job", "instance", *(family(name).labels if name not in _FROM_PROMETHEUS else ())}
    optional = "|" if name == "ALERTS" else ""
    free = [label for label in VARIABLES if label in labels and not re.search(rf"\b{label}\b", own)]
    chosen = [f'{label}=~"${label}{optional}"' for label in free]
    return f"{name}{{{', '.join([*chosen, own] if own else chosen)}}}"


def rate(selector: str, by: str = "") -> str:
    """Return the sum of the rates of counters (per second), in total or by some labels."""
    return _sum(f"rate({selector}[$__rate_interval])", by)


def per_minute(selector: str, by: str = "") -> str:
    """Return the same per minute: a site with little mail reads 3 a minute more easily than 0.05 a second."""
    return f"60 * {rate(selector, by)}"


def increased(selector: str, by: str = "") -> str:
    """Return the sum of the increases of counters over the dashboard's time range, in total or by some labels.

    A counter may appear with its first event, which counts as well: one that did not exist at the beginning has grown
    by its whole value.
    """
    return _sum(f"(increase({selector}[$__range]) and {selector} offset $__range) or {selector}", by)


def most(number: int, counter: str, by: str) -> str:
    """Return the largest totals by some labels, without those that did not occur in the time shown."""
    return f"topk({number}, {increased(counter, by)} > 0)"


def seen(counter: str, by: str) -> str:
    """Return what `per_minute` does, only for label values that occurred in the time shown.

    Only for counters that exist from the start: the first event of another has no rate. `@ end()` evaluates the total
    once instead of for each point; it requires Prometheus 2.33.
    """
    return f"{per_minute(counter, by)} and {_sum(f'increase({counter}[$__range] @ end())', by)} > 0"


def quantile(share: float, histogram: str, by: str = "", over: str = "$__rate_interval") -> str:
    """Return the value that this share of a histogram's observations does not exceed; nothing without observations.

    Of no observations the quantile is NaN, which a comparison leaves out: Grafana would draw it as an empty graph.
    """
    labels = f"le, {by}" if by else "le"
    function = "rate" if over == "$__rate_interval" else "increase"
    return f"histogram_quantile({share:g}, sum by ({labels}) ({function}({histogram}_bucket[{over}]))) >= 0"


def quantiles(histogram: str) -> tuple[tuple[str, str], ...]:
    """Return three quantiles of a histogram, each with its legend."""
    return tuple((quantile(share, histogram), f"{share:.0%}") for share in (0.5, 0.95, 0.99))


def _sum(promql: str, by: str) -> str:
    return f"sum by ({by}) ({promql})" if by else f"sum({promql})"
