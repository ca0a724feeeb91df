"""PromQL for panels: narrows each series to what the dashboard's variables choose; knows the catalogue and no panel.

Panels name a series as `miltscan_messages_total{outcome="clean"}`; the matchers for instance, direction and engine are
added here, to each series that has the label and says nothing of it itself, so that none is forgotten.
"""

import re
from typing import Any

from docs.generator.metric_questions import QUESTIONS
from miltscan.telemetry.family import Family
from miltscan.telemetry.metrics import FAMILIES

ALL = ".*"
"""What a variable holds when all its values are chosen: it matches series without the label, too."""
VARIABLES = ("instance", "direction", "engine")
_SERIES = re.compile(r"\b(miltscan_\w+)(?:\{([^{}]*)\})?")


def narrowed(promql: str) -> str:
    """`promql` with the variables' matchers in each series of the catalogue. KeyError for one that does not exist."""
    return _SERIES.sub(_narrowed, promql)


def questions(promql: str) -> list[str]:
    """The questions that the metrics in `promql` answer, in their order, each once."""
    names = (family(name).name.removeprefix("miltscan_") for name in series(promql))
    return [*dict.fromkeys(QUESTIONS[name] for name in names)]


def series(promql: str) -> list[str]:
    """The names of the series in `promql`."""
    return [name for name, _ in _SERIES.findall(promql)]


def family(name: str) -> Family[Any]:
    """The metric that a series belongs to; a histogram has several. KeyError if none does."""
    return {f"{family.name}{part}": family for family in FAMILIES for part in _parts(family)}[name]


def _parts(family: Family[Any]) -> tuple[str, ...]:
    return ("_bucket", "_count", "_sum") if family.kind.__name__ == "Histogram" else ("",)


def _narrowed(match: re.Match[str]) -> str:
    name, own = match[1], match[2] or ""
    labels = {"instance", *family(name).labels}
    chosen = [f'{label}=~"${label}"' for label in VARIABLES if label in labels and not re.search(rf"\b{label}\b", own)]
    return f"{name}{{{', '.join([*chosen, own] if own else chosen)}}}"


def rate(selector: str, by: str = "") -> str:
    """How fast counters grow (per second), added up, or by some labels."""
    return _added(f"rate({selector}[$__rate_interval])", by)


def increase(selector: str, by: str = "", over: str = "$__range") -> str:
    """By how much counters grew over the dashboard's time range, added up, or by some labels."""
    return _added(f"increase({selector}[{over}])", by)


def grown(selector: str, by: str = "", over: str = "$__range") -> str:
    """As `increase`, of counters that appear with their first event: that one counts, too.

    A counter that was not there at the beginning has grown by all of its value.
    """
    return _added(f"(increase({selector}[{over}]) and {selector} offset {over}) or {selector}", by)


def seen(counter: str, by: str) -> str:
    """How fast a counter of many known label values grows, of those values only that were met in the time shown."""
    return or_none(f"{rate(counter, by)} and {increase(counter, by)} > 0", by)


def quantile(share: float, histogram: str, by: str = "") -> str:
    """The value that this share of a histogram's observations does not pass."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval])))"


def or_none(promql: str, label: str) -> str:
    """`promql`, or a 0 whose label says `none`: an empty panel looks like a broken one."""
    return f'{promql} or on() label_replace(vector(0), "{label}", "none", "", "")'


def _added(promql: str, by: str) -> str:
    return f"sum by ({by}) ({promql})" if by else f"sum({promql})"
