"""Row "Quarantine": what is kept, is it stored and indexed, and does the keeper work?

A service without a quarantine has no series of areas and disk: these panels show 0 there, or that there is none.
"""

from grafana_foundation_sdk.models.units import BytesIEC, Seconds, Short

from deploy.grafana.generator.panels import NONE_IS_GOOD, PER_SECOND, Panel, graph, number, rising, states
from deploy.grafana.generator.queries import increase, or_none, quantile, rate

_ENTRIES = "miltscan_quarantine_entries"
_OLDEST = "miltscan_quarantine_oldest_timestamp_seconds"
_FREE = "miltscan_quarantine_free_bytes"
_PUT = "miltscan_quarantine_put_duration_seconds"
_COPY = "miltscan_copy_duration_seconds"
_KEEPER = "time() - miltscan_keeper_last_round_timestamp_seconds < bool 60"

PANELS: tuple[Panel, ...] = (
    number("Messages kept", Short, f"sum({_ENTRIES}) or vector(0)", width=4),
    number(
        "No longer detected",
        Short,
        "sum(miltscan_quarantine_cleared) or vector(0)",
        width=4,
        steps=((None, "green"), (1, "orange")),
    ),
    number("Not stored", Short, increase("miltscan_quarantine_put_errors_total"), width=4, steps=NONE_IS_GOOD),
    number(
        "Not in the index",
        Short,
        "sum(miltscan_quarantine_unindexed) or vector(0)",
        width=4,
        steps=rising(1, 1000),
    ),
    number(
        "Free space of the quarantine",
        BytesIEC,
        f"min({_FREE})",
        width=4,
        steps=((None, "red"), (2**30, "orange"), (2**32, "green")),
    ).no_value("no quarantine"),
    number("Expired", Short, increase("miltscan_quarantine_expired_total"), width=4),
    graph("Messages kept, by area", Short, (or_none(f"sum by (area) ({_ENTRIES})", "area"), "{{area}}"), stacked=True),
    graph(
        "Size of what is kept, by area",
        BytesIEC,
        (or_none("sum by (area) (miltscan_quarantine_bytes)", "area"), "{{area}}"),
        stacked=True,
    ),
    graph(
        "Age of the oldest message, by area",
        Seconds,
        (or_none(f"max by (area) (time() - {_OLDEST})", "area"), "{{area}}"),
        note="How long has the oldest message of each area been kept? Its max_age is the most.",
    ),
    graph(
        "Time to store a message",
        Seconds,
        *((f"{quantile(share, _PUT)} > 0 or on() vector(0)", f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
        steps=rising(1, 5),
    ),
    graph(
        "Stored and expired",
        PER_SECOND,
        (rate(f"{_PUT}_count"), "stored"),
        (rate("miltscan_quarantine_expired_total"), "expired"),
        note="How many messages are stored a second, and how many are deleted by the rules of their area?",
    ),
    graph(
        "Disk space of the quarantine",
        BytesIEC,
        (f"min by (instance) ({_FREE}) or on() vector(0)", "free {{instance}}"),
        ("max by (instance) (miltscan_quarantine_disk_bytes) or on() vector(0)", "size {{instance}}"),
    ),
    graph(
        "Copies",
        Short,
        (or_none(increase("miltscan_copies_total", "result", "$__rate_interval"), "result"), "{{result}}"),
    ),
    graph(
        "Time to hand copies over",
        Seconds,
        *((f"{quantile(share, _COPY)} > 0 or on() vector(0)", f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
        steps=rising(1, 10),
    ),
    graph(
        "Releases",
        Short,
        (increase("miltscan_quarantine_releases_total", "result", "$__rate_interval"), "{{result}}"),
    ),
    graph(
        "Notices and summaries",
        Short,
        (
            or_none(increase("miltscan_quarantine_mails_total", "kind, result", "$__rate_interval"), "kind"),
            "{{kind}} {{result}}",
        ),
    ),
    graph(
        "Rescans",
        Short,
        (increase("miltscan_quarantine_rescans_total", "result", "$__rate_interval"), "{{result}}"),
    ),
    states(
        "Keeper",
        (f"min by (instance) ({_KEEPER} or 1 - miltscan_keeper_configured)", "{{instance}}"),
        note="Does the keeper complete its rounds (up)? Where there is no quarantine, there is no keeper to be down.",
    ),
)
