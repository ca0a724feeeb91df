"""Row "Signatures, rules and lists": which signatures are found, and what do rules and lists do?"""

from deploy.grafana.generator import colours
from deploy.grafana.generator.panels import COUNT, NONE_IS_GOOD, PER_MINUTE, Panel, amount, graph, number
from deploy.grafana.generator.queries import increased, most, seen
from deploy.grafana.generator.tables import rows

_TOP = 25

PANELS: tuple[Panel, ...] = (
    graph(
        "Detections by class",
        PER_MINUTE,
        (seen("miltscan_detections_total", "class"), "{{class}}"),
        none="no detection in the time shown",
        stacked=True,
        width=12,
        log='{job="miltscan", event="message", outcome="infected"}',
    ),
    rows(
        "Most frequent signatures",
        ("signature",),
        (most(_TOP, "miltscan_signature_detections_total", "signature"), "messages", COUNT),
        none="no detection in the time shown",
        width=12,
        note="Which signatures were detected most often in the time shown? Rare ones are counted together as other.",
    ),
    rows(
        "Most frequent rules",
        ("rule", "enforced"),
        (most(_TOP, "miltscan_rule_matches_total", "rule, enforced"), "messages", COUNT),
        none="no rule matched in the time shown",
        width=12,
        note="Which rules matched most often in the time shown? Those with enforced=no decide nothing.",
    ),
    graph(
        "Allowed and denied",
        PER_MINUTE,
        (seen("miltscan_list_hits_total", "list"), "{{list}}"),
        none="no entry of a list applied in the time shown",
        colours=colours.LISTS,
        width=12,
    ),
    number("Entries of the lists", COUNT, "sum(max by (instance, list) (miltscan_list_entries)) or vector(0)", width=5),
    amount(
        "Shadow decisions that differ",
        increased('miltscan_shadow_decisions_total{result="differs"}'),
        note="On how many messages of the time shown would the candidate of `run --shadow` decide otherwise?",
        width=5,
    ),
    number(
        "Sources of rules out of date",
        COUNT,
        "sum(miltscan_rule_sources_stale) or vector(0)",
        width=5,
        steps=NONE_IS_GOOD,
    ),
    number("Lists out of date", COUNT, "sum(miltscan_lists_stale) or vector(0)", width=4, steps=NONE_IS_GOOD),
    number(
        "Broken lines of the lists", COUNT, "sum(miltscan_lists_broken_lines) or vector(0)", width=5, steps=NONE_IS_GOOD
    ),
)
