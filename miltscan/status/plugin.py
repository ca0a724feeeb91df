"""The status as one line for Nagios and Icinga, with performance data: the Monitoring Plugins' guidelines. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from miltscan.config.settings import Settings
from miltscan.core.finding import Level
from miltscan.core.text import readable

UNKNOWN = 3
"""The exit status of a plugin that cannot tell."""
STATES = {Level.OK: (0, "OK"), Level.WARNING: (1, "WARNING"), Level.ERROR: (2, "CRITICAL")}
"""Exit status and word of each level."""


def plugin_lines(answer: Mapping[str, Any], settings: Settings) -> list[str]:
    """Return the lines of a plugin: state and sentence with the performance data, then each finding with its remedy."""
    assessment = answer["assessment"]
    _, word = STATES[Level(assessment["level"])]
    data = " ".join(_performance(answer, settings))
    first = f"MILTSCAN {word} - {_clean(assessment['text'])}" + (f" | {data}" if data else "")
    return [first, *(_clean(f"{one['subject']}: {one['text']}; {one['remedy']}") for one in assessment["findings"])]


def _clean(text: str) -> str:
    return readable(text).replace("|", "/")  # a bar begins the performance data


def _performance(answer: Mapping[str, Any], settings: Settings) -> Iterator[str]:
    """Yield label=value;warning for what the answer has; an answer without metrics has none."""
    limits, now, at = settings.thresholds, answer.get("now", {}), answer["at"]
    values: list[tuple[str, float | None, str, float | None]] = [
        ("rate", now.get("rate"), "", None),
        ("latency_p95", now.get("p95"), "s", limits.latency),
        *(
            (f"messages_{name}", count, "c", None)
            for name, count in answer.get("totals", {}).get("outcomes", {}).items()
        ),
    ]
    for queue in answer.get("queues", []):
        name, oldest = queue["queue"], queue["oldest"]
        values.append((f"{name}_queue", queue["entries"], "", None))
        values.append((f"{name}_age", None if oldest is None else at - oldest, "s", limits.queue_age[name]))
    ages = [at - one["published"] for one in answer.get("engines", []) if one["published"]]
    values.append(("signature_age", max(ages, default=None), "s", limits.signature_age))
    for label, value, unit, warn in values:
        if value is not None:
            yield f"{label}={value:.6g}{unit};{'' if warn is None else f'{warn:g}'}"
