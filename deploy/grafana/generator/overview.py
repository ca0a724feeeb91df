"""Row "Overview": is mail scanned, what becomes of it, and how long does it take?"""

from grafana_foundation_sdk.models.units import BytesPerSecondIEC, PercentUnit, Seconds, Short

from deploy.grafana.generator.panels import (
    GOOD,
    NONE_IS_GOOD,
    PER_SECOND,
    Panel,
    cloud,
    falling,
    graph,
    number,
    rising,
)
from deploy.grafana.generator.queries import grown, increase, or_none, quantile, rate, seen

_MESSAGES = "miltscan_messages_total"
_INFECTED = 'miltscan_messages_total{outcome="infected"}'
_WHOLLY = 'miltscan_messages_total{outcome=~"clean|infected"}'
_PASSED = 'miltscan_messages_total{outcome=~"unscanned|error", action=~"accept|hold"}'
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
        note="How many infected messages came in the time shown?",
        steps=((None, "green"), (1, "orange")),
    ),
    number(
        "Let in unscanned",
        Short,
        f"{grown(_PASSED)} or vector(0)",
        note="How many messages were let in, or held, that no engine has wholly scanned? The policy says which may.",
        steps=NONE_IS_GOOD,
    ),
    number(
        "Tempfailed",
        Short,
        increase(_TEMPFAILED),
        note="How many messages did clients have to keep and send again?",
        steps=rising(1, 100),
    ),
    number(
        "Wholly scanned",
        PercentUnit,
        f"({rate(_WHOLLY)} or vector(0)) / ({rate(_MESSAGES)} > 0) or on() vector(1)",
        note="Which share of messages did an engine look at as a whole? 1 while there is no mail.",
        steps=falling(0.95, 0.99),
    ),
    number(
        "Added latency, 95 %",
        Seconds,
        quantile(0.95, _TIME),
        note="How much time does miltscan add to a message, at most, for 95 of 100?",
        steps=rising(2, 10),
    ),
    number("In flight", Short, "sum(miltscan_transactions_in_flight)"),
    number(
        "Servers up",
        PercentUnit,
        "avg(miltscan_engine_up)",
        note="Which share of the engines' servers is up for every worker?",
        steps=falling(0.01, 1),
    ),
    graph(
        "Messages by outcome",
        PER_SECOND,
        (or_none(rate(_MESSAGES, "outcome"), "outcome"), "{{outcome}}"),
        note="How many messages a second, and how were they found?",
        stacked=True,
    ),
    graph(
        "Messages by action",
        PER_SECOND,
        (or_none(rate(_MESSAGES, "action"), "action"), "{{action}}"),
        note="How many messages a second, and what became of them?",
        stacked=True,
    ),
    graph("SMTP replies", PER_SECOND, (rate("miltscan_smtp_replies_total", "code"), "{{code}}"), stacked=True),
    graph("Not wholly scanned, by reason", PER_SECOND, (seen("miltscan_unscanned_total", "reason"), "{{reason}}")),
    graph(
        "Infected, by direction",
        PER_SECOND,
        (or_none(rate(_INFECTED, "direction"), "direction"), "{{direction}}"),
        note="Where do infected messages come from? Outbound and submission are hosts and accounts of ours.",
    ),
    graph(
        "Tempfailed and shed",
        PER_SECOND,
        (rate(_TEMPFAILED, "code"), "{{code}}"),
        (rate("miltscan_shed_total"), "every scan slot busy"),
        note="How many messages did clients have to keep, and how many of these for want of a free scan slot?",
        steps=((None, "green"), (1, "red")),
    ),
    cloud("Added latency", Seconds, _TIME),
    graph(
        "Added latency, quantiles",
        Seconds,
        *((quantile(share, _TIME), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
        (f"{rate(_TIME + '_sum')} / ({rate(_TIME + '_count')} > 0) or on() vector(0)", "mean"),
        width=12,
        steps=rising(2, 10),
    ),
    graph(
        "Waited for a scan slot",
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
