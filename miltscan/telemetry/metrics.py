"""The catalogue: every metric of miltscan, each defined once in a module of its subject. It sets none.

`recording` sets those of messages; the module that knows a value sets the others. docs/metrics.md is made from it.
"""

from miltscan.telemetry import engine_metrics, keeper_metrics, mail_metrics, sandwich_metrics, service_metrics
from miltscan.telemetry.family import Family

FAMILIES = tuple(
    one
    for module in (mail_metrics, engine_metrics, sandwich_metrics, keeper_metrics, service_metrics)
    for one in vars(module).values()
    if isinstance(one, Family)
)
"""All of them, in the order of their definitions."""
