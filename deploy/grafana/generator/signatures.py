"""Row "Signatures": which signatures are found, and what do rules and the allow and deny lists do?"""

from grafana_foundation_sdk.models.units import Short

from deploy.grafana.generator.panels import NONE_IS_GOOD, PER_SECOND, Panel, graph, number, rows
from deploy.grafana.generator.queries import grown, or_none, rate, seen

_TOP = 25

PANELS: tuple[Panel, ...] = (
    graph(
        "Detections by class",
        PER_SECOND,
        (seen("miltscan_detections_total", "class"), "{{class}}"),
        stacked=True,
        width=12,
    ),
    rows(
        "Most frequent signatures",
        ("signature",),
        (
            or_none(f"topk({_TOP}, {grown('miltscan_signature_detections_total', 'signature')})", "signature"),
            "messages",
            Short,
        ),
        width=12,
        note="Which signatures were detected most often in the time shown? Rare ones are counted together as other.",
    ),
    rows(
        "Most frequent rules",
        ("rule", "enforced"),
        (
            or_none(f"topk({_TOP}, {grown('miltscan_rule_matches_total', 'rule, enforced')})", "rule"),
            "messages",
            Short,
        ),
        width=12,
        note="Which rules matched most often in the time shown? Those with enforced=no decide nothing.",
    ),
    graph("Allowed and denied", PER_SECOND, (rate("miltscan_list_hits_total", "list"), "{{list}}"), width=12),
    number("Entries of the lists", Short, "sum(max by (instance, list) (miltscan_list_entries)) or vector(0)", width=4),
    graph("Shadow decisions", PER_SECOND, (rate("miltscan_shadow_decisions_total", "result"), "{{result}}"), width=12),
    number(
        "Sources of rules out of date",
        Short,
        "sum(miltscan_rule_sources_stale) or vector(0)",
        width=4,
        steps=NONE_IS_GOOD,
    ),
    number("Lists out of date", Short, "sum(miltscan_lists_stale) or vector(0)", width=4, steps=NONE_IS_GOOD),
    number(
        "Broken lines of the lists", Short, "sum(miltscan_lists_broken_lines) or vector(0)", width=4, steps=NONE_IS_GOOD
    ),
)
