"""Row "Signatures": which signatures are found?"""

from grafana_foundation_sdk.models.units import Short

from deploy.grafana.generator.panels import PER_SECOND, Panel, graph, rows
from deploy.grafana.generator.queries import grown, or_none, seen

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
)
