"""Row "Overview": is mail scanned, what happens to it, and how long does it take?"""

from grafana_foundation_sdk.models.units import BytesPerSecondIEC, PercentUnit, Seconds, Short

from deploy.grafana.generator.panels import (
    GOOD,
    NONE_IS_GOOD,
    PER_SECOND,
    Panel,
    falling,
    graph,
    number,
    rising,
    spread,
)
from deploy.grafana.generator.queries import grown, increase, or_none, quantile, rate, seen

_MESSAGES = "miltscan_messages_total"
_INFECTED = 'miltscan_messages_total{outcome="infected"}'
_COMPLETE = 'miltscan_messages_total{outcome=~"clean|spam|infected"}'
_UNSCANNED = 'miltscan_messages_total{outcome=~"unscanned|error", action=~"accept|hold"}'
_TEMPFAILED = 'miltscan_smtp_replies_total{code=~"4.."}'
_TIME = "miltscan_message_duration_seconds"
_WAIT = "miltscan_slot_wait_seconds"
_SIZE = "miltscan_message_size_bytes"

PANELS: tuple[Panel, ...] = (
    number("Messages", PER_SECOND, rate(_MESSAGES), note="How many messages are scanned a second?"),
    number(
        "Infected",
        Short,
        f"{grown(_INFECTED)} or vector(0)",
        note="How many infected messages arrived in the time shown?",
        steps=((None, "green"), (1, "orange")),
    ),
    number(
        "Passed unscanned",
        Short,
        f"{grown(_UNSCANNED)} or vector(0)",
        note="How many messages were accepted or held although they were not scanned completely? The policy allows it.",
        steps=NONE_IS_GOOD,
    ),
    number(
        "Tempfailed",
        Short,
        increase(_TEMPFAILED),
        note="How many messages must clients keep and send again?",
        steps=rising(1, 100),
    ),
    number(
        "Completely scanned",
        PercentUnit,
        f"({rate(_COMPLETE)} or vector(0)) / ({rate(_MESSAGES)} > 0) or on() vector(1)",
        note="What share of messages was scanned completely? 1 while there is no mail.",
        steps=falling(0.95, 0.99),
    ),
    number(
        "Added latency, 95 %",
        Seconds,
        quantile(0.95, _TIME),
        note="How much time does miltscan add at most to 95 of 100 messages?",
        steps=rising(2, 10),
    ),
    number("In flight", Short, "sum(miltscan_transactions_in_flight)"),
    number(
        "Servers up",
        PercentUnit,
        "avg(miltscan_engine_up)",
        note="What share of the servers of engines is up for every worker?",
        steps=falling(0.01, 1),
    ),
    graph(
        "Messages by outcome",
        PER_SECOND,
        (or_none(rate(_MESSAGES, "outcome"), "outcome"), "{{outcome}}"),
        note="How many messages are scanned a second, and with which outcome?",
        stacked=True,
    ),
    graph(
        "Messages by action",
        PER_SECOND,
        (or_none(rate(_MESSAGES, "action"), "action"), "{{action}}"),
        note="How many messages are scanned a second, and which action follows?",
        stacked=True,
    ),
    graph("SMTP replies", PER_SECOND, (rate("miltscan_smtp_replies_total", "code"), "{{code}}"), stacked=True),
    graph("Not completely scanned, by reason", PER_SECOND, (seen("miltscan_unscanned_total", "reason"), "{{reason}}")),
    graph(
        "Infected, by direction",
        PER_SECOND,
        (or_none(rate(_INFECTED, "direction"), "direction"), "{{direction}}"),
        note="Where do infected messages come from? Outbound and submission are hosts and accounts of this site.",
    ),
    graph(
        "Tempfailed and shed",
        PER_SECOND,
        (rate(_TEMPFAILED, "code"), "{{code}}"),
        (rate("miltscan_shed_total"), "every scan slot busy"),
        (rate("miltscan_sessions_refused_total"), "connections closed"),
        note="How many messages must clients keep, and how many of these because no scan slot was free?",
        steps=((None, "green"), (1, "red")),
    ),
    spread("Added latency", Seconds, _TIME),
    graph(
        "Added latency, quantiles",
        Seconds,
        *((quantile(share, _TIME), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
        (f"{rate(_TIME + '_sum')} / ({rate(_TIME + '_count')} > 0) or on() vector(0)", "mean"),
        width=12,
        steps=rising(2, 10),
    ),
    graph(
        "Wait for a scan slot",
        Seconds,
        *((quantile(share, _WAIT), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
        width=6,
        steps=rising(1, 5),
    ),
    graph(
        "Sessions and messages in flight",
        Short,
        ("sum(miltscan_sessions)", "sessions"),
        ("sum(miltscan_transactions_in_flight)", "messages"),
        width=6,
    ),
    graph(
        "Mail volume",
        BytesPerSecondIEC,
        (rate(f"{_SIZE}_sum"), "bytes"),
        width=6,
        note="How many bytes of mail are scanned a second?",
    ),
    graph(
        "Message size",
        "bytes",
        *((quantile(share, _SIZE), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
        width=6,
        steps=GOOD,
    ),
)
