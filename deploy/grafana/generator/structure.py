"""Row "Structure of messages": how do mail programs read them, what is odd about them, and what does that cost?"""

from grafana_foundation_sdk.models.units import Seconds

from deploy.grafana.generator.panels import PER_SECOND, Panel, graph
from deploy.grafana.generator.queries import quantile, rate

_READ = "miltscan_structure_seconds"

PANELS: tuple[Panel, ...] = (
    graph(
        "Ways to read a message",
        PER_SECOND,
        (rate("miltscan_structures_total", "reading"), "{{reading}}"),
        note="Do all mail programs read a message alike? With missed, a scan of the whole message was too little.",
        stacked=True,
    ),
    graph("Anomalies", PER_SECOND, (rate("miltscan_anomalies_total", "anomaly"), "{{anomaly}}")),
    graph("Parts scanned", PER_SECOND, (rate("miltscan_parts_scanned_total"), "parts")),
    graph(
        "Time to read the structure",
        Seconds,
        *((quantile(share, _READ), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
        note="How much CPU time does it take to read the structure of a message?",
    ),
)
