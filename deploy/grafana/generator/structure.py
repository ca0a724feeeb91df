"""Row "Structure of messages": how do mail programs read them, what is odd about them, and what does that cost?"""

from grafana_foundation_sdk.models.units import Seconds

from deploy.grafana.generator import colours
from deploy.grafana.generator.panels import COUNT, PER_MINUTE, Panel, graph
from deploy.grafana.generator.queries import most, per_minute, quantiles
from deploy.grafana.generator.tables import rows

_TOP = 25

PANELS: tuple[Panel, ...] = (
    graph(
        "Ways to read a message",
        PER_MINUTE,
        (per_minute("miltscan_structures_total", "reading"), "{{reading}}"),
        note="Do all mail programs read a message alike? With missed, a scan of the whole message was too little.",
        colours=colours.READINGS,
        stacked=True,
        width=6,
    ),
    rows(
        "Most frequent anomalies",
        ("anomaly",),
        (most(_TOP, "miltscan_anomalies_total", "anomaly"), "messages", COUNT),
        none="no anomaly in the time shown",
        width=6,
    ),
    graph(
        "Parts scanned",
        PER_MINUTE,
        (per_minute("miltscan_parts_scanned_total"), "parts"),
        colours={"parts": colours.BLUE},
        width=6,
    ),
    graph(
        "Time to read the structure",
        Seconds,
        *quantiles("miltscan_structure_seconds"),
        note="How much CPU time does it take to read the structure of a message?",
        colours=colours.QUANTILES,
        logarithmic=True,
        width=6,
    ),
)
