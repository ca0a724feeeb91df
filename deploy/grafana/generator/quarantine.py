"""Row "Quarantine": what is kept, is it stored and indexed, and does the keeper work?"""

from grafana_foundation_sdk.models.units import BytesIEC, Seconds, Short

from deploy.grafana.generator import colours
from deploy.grafana.generator.panels import (
    COUNT,
    NONE_IS_GOOD,
    PER_MINUTE,
    Panel,
    amount,
    graph,
    number,
    rising,
    states,
)
from deploy.grafana.generator.queries import increased, per_minute, quantiles, seen
from deploy.grafana.generator.tables import rows

_ENTRIES = "miltscan_quarantine_entries"
_OLDEST = "miltscan_quarantine_oldest_timestamp_seconds"
_FREE = "miltscan_quarantine_free_bytes"
_PUT = "miltscan_quarantine_put_duration_seconds"
_EXPIRED = "miltscan_quarantine_expired_total"
_KEEPER = "time() - miltscan_keeper_last_round_timestamp_seconds < bool 60"
_DAY = 86_400
_NONE = "no quarantine: quarantine.directory is empty"


def _work(counter: str, name: str, labels: str = "result") -> str:
    """Return what the keeper did in the time shown, with the name of the work as a label."""
    return f'label_replace({increased(counter, labels)} > 0, "work", "{name}", "", "")'


_DONE = " or ".join(
    (
        _work("miltscan_quarantine_releases_total", "release"),
        _work("miltscan_quarantine_rescans_total", "rescan"),
        _work('miltscan_quarantine_mails_total{kind="notice"}', "notice"),
        _work('miltscan_quarantine_mails_total{kind="summary"}', "summary"),
        _work('miltscan_quarantine_mails_total{kind="late"}', "late detection"),
    )
)

PANELS: tuple[Panel, ...] = (
    number("Messages kept", COUNT, f"sum({_ENTRIES})", width=4, none="no quarantine"),
    number(
        "No longer detected",
        COUNT,
        "sum(miltscan_quarantine_cleared)",
        width=4,
        none="no quarantine",
        steps=((None, "green"), (1, "orange")),
    ),
    amount(
        "Not stored",
        increased("miltscan_quarantine_put_errors_total"),
        note="How many messages of the time shown could not be stored? Their clients received 451.",
        width=4,
        steps=NONE_IS_GOOD,
    ),
    number(
        "Not in the index",
        COUNT,
        "sum(miltscan_quarantine_unindexed)",
        width=4,
        none="no quarantine",
        steps=rising(1, 1000),
    ),
    number(
        "Free space of the quarantine",
        BytesIEC,
        f"min({_FREE})",
        width=4,
        none="no quarantine",
        steps=((None, "red"), (2**30, "orange"), (2**32, "green")),
    ),
    amount(
        "Expired",
        increased(_EXPIRED),
        note="How many messages were deleted in the time shown by the rules of their area?",
        width=4,
    ),
    graph("Messages kept, by area", Short, (f"sum by (area) ({_ENTRIES})", "{{area}}"), none=_NONE, stacked=True),
    graph(
        "Size of what is kept, by area",
        BytesIEC,
        ("sum by (area) (miltscan_quarantine_bytes)", "{{area}}"),
        none=_NONE,
        stacked=True,
    ),
    graph(
        "Age of the oldest message, by area",
        "suffix:d",
        (f"max by (area) (time() - {_OLDEST}) / {_DAY}", "{{area}}"),
        note="How long has the oldest message of each area been kept? Its max_age is the most.",
        none=_NONE,
    ),
    graph(
        "Stored and expired",
        PER_MINUTE,
        (per_minute(f"{_PUT}_count"), "stored"),
        (per_minute(_EXPIRED), "expired"),
        note="How many messages are stored a minute, and how many are deleted by the rules of their area?",
        colours={"stored": colours.PURPLE, "expired": colours.BLUE},
    ),
    graph(
        "Time to store a message",
        Seconds,
        *quantiles(_PUT),
        none="no message was stored",
        colours=colours.QUANTILES,
    ),
    graph(
        "Disk space of the quarantine",
        BytesIEC,
        (f"min by (instance) ({_FREE})", "free {{instance}}"),
        ("max by (instance) (miltscan_quarantine_disk_bytes)", "size {{instance}}"),
        none=_NONE,
    ),
    rows(
        "Work of the keeper",
        ("work", "result"),
        (_DONE, "number", COUNT),
        none="nothing in the time shown",
        note="What did the keeper do in the time shown: releases, rescans, notices and summaries, by result?",
        width=6,
    ),
    graph(
        "Copies",
        PER_MINUTE,
        (seen("miltscan_copies_total", "result"), "{{result}}"),
        none="no copy was handed over",
        width=6,
    ),
    graph(
        "Time to hand copies over",
        Seconds,
        *quantiles("miltscan_copy_duration_seconds"),
        none="no copy was handed over",
        colours=colours.QUANTILES,
        width=6,
    ),
    states(
        "Keeper",
        (f"min by (instance) ({_KEEPER} or 1 - miltscan_keeper_configured)", "{{instance}}"),
        note="Does the keeper complete its rounds (up)? Where there is no quarantine, there is no keeper to be down.",
        width=6,
    ),
    amount(
        "Detected after delivery",
        increased('miltscan_archive_searches_total{result="delivered"}'),
        note="How many digests that were detected in the time shown had been delivered before?",
        width=6,
        steps=NONE_IS_GOOD,
    ).height(8),
    number("Size of the archive", BytesIEC, "sum(miltscan_archive_bytes)", width=6, none="no archive").height(8),
    graph(
        "Archived messages",
        PER_MINUTE,
        (seen("miltscan_archived_messages_total", "result"), "{{result}}"),
        note="Is each accepted message in the archive of digests?",
        none="nothing is archived: archive.digests is 0s",
        width=12,
    ),
)
