"""Row "Mail": what happens to it, why is some not scanned, and how long does it wait?"""

from grafana_foundation_sdk.models.units import BytesIEC, PercentUnit, Seconds, Short

from deploy.grafana.generator import colours
from deploy.grafana.generator.overview import NO_MAIL
from deploy.grafana.generator.panels import PER_MINUTE, Panel, graph, spread
from deploy.grafana.generator.queries import per_minute, quantiles, rate, seen

_MESSAGES = "miltscan_messages_total"
_INFECTED = 'miltscan_messages_total{outcome="infected"}'
_COMPLETE = 'miltscan_messages_total{outcome=~"clean|spam|infected"}'
_SIZE = "miltscan_message_size_bytes"

PANELS: tuple[Panel, ...] = (
    graph(
        "Messages by action",
        PER_MINUTE,
        (per_minute(_MESSAGES, "action"), "{{action}}"),
        note="How many messages are scanned a minute, and which action follows?",
        none=NO_MAIL,
        colours=colours.ACTIONS,
        stacked=True,
    ),
    graph(
        "SMTP replies",
        PER_MINUTE,
        (per_minute("miltscan_smtp_replies_total", "code"), "{{code}}"),
        colours=colours.CODES,
        stacked=True,
    ),
    graph(
        "Messages by direction",
        PER_MINUTE,
        (per_minute(_MESSAGES, "direction"), "{{direction}}"),
        note="In which direction does mail go?",
        none=NO_MAIL,
        colours=colours.DIRECTIONS,
        stacked=True,
    ),
    graph(
        "Not completely scanned, by reason",
        PER_MINUTE,
        (seen("miltscan_unscanned_total", "reason"), "{{reason}}"),
        none="every message of the time shown was scanned completely",
        log='{job="miltscan", event="message", outcome=~"unscanned|error"}',
    ),
    graph(
        "Infected, by direction",
        PER_MINUTE,
        (per_minute(_INFECTED, "direction"), "{{direction}}"),
        note="Where do infected messages come from? Outbound and submission are hosts and accounts of this site.",
        none="no infected message",
        colours=colours.DIRECTIONS,
        log='{job="miltscan", event="message", outcome="infected"}',
    ),
    graph(
        "Tempfailed and shed",
        PER_MINUTE,
        (per_minute('miltscan_smtp_replies_total{code=~"4.."}', "code"), "{{code}}"),
        (per_minute("miltscan_shed_total"), "every scan slot busy"),
        (per_minute("miltscan_sessions_refused_total"), "connections closed"),
        note="How many messages must clients keep, and how many of these because no scan slot was free?",
        colours={**colours.CODES, "every scan slot busy": colours.PURPLE, "connections closed": colours.RED},
    ),
    spread("Distribution of the added latency", Seconds, "miltscan_message_duration_seconds"),
    graph(
        "Wait for a scan slot",
        Seconds,
        *quantiles("miltscan_slot_wait_seconds"),
        none=NO_MAIL,
        colours=colours.QUANTILES,
        width=6,
    ),
    graph(
        "Completely scanned",
        PercentUnit,
        (f"({rate(_COMPLETE)} or vector(0)) / ({rate(_MESSAGES)} > 0)", "share"),
        note="What share of messages was scanned completely?",
        none=NO_MAIL,
        width=6,
    ),
    graph(
        "Sessions and messages in flight",
        Short,
        ("sum(miltscan_sessions)", "sessions"),
        ("sum(miltscan_transactions_in_flight)", "messages"),
        colours={"sessions": colours.BLUE, "messages": colours.AMBER},
    ),
    graph(
        "Mail volume per minute",
        BytesIEC,
        (per_minute(f"{_SIZE}_sum"), "bytes"),
        note="How many bytes of mail are scanned a minute?",
        colours={"bytes": colours.BLUE},
    ),
    graph("Message size", BytesIEC, *quantiles(_SIZE), colours=colours.QUANTILES, logarithmic=True),
)
