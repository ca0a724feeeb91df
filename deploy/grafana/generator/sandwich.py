"""The sandwich: does mail pass from the incoming sendmail to the delivery sendmail and on, or does it accumulate?

No sendmail counts what it hands over. What left a queue is what arrived minus the growth of the queue.
"""

from grafana_foundation_sdk.models.units import BytesIEC, DateTimeFromNow, NoUnit, Seconds, Short

from deploy.grafana.generator import colours
from deploy.grafana.generator.panels import COUNT, PER_MINUTE, UP, Panel, amount, graph, number, rising, states
from deploy.grafana.generator.queries import increased, per_minute, seen
from deploy.grafana.generator.tables import rows
from miltscan.core.thresholds import QUEUE_AGE

_ENTRIES = "miltscan_queue_entries"
_OLDEST = "miltscan_queue_oldest_timestamp_seconds"
_PASSED = 'miltscan_messages_total{action=~"accept|redirect|copy", direction=~".+"}'
_ACCEPTED = f"({per_minute(_PASSED)} or vector(0))"
_INCOMING = f'{_ENTRIES}{{queue="incoming"}}'
_HANDED_OVER = f"clamp_min({_ACCEPTED} - 60 * sum(deriv({_INCOMING}[$__rate_interval])), 0)"
_INVALID = 'miltscan_receipts_total{result!~"valid|rescanned|none"}'
_NOT_READABLE = "miltscan cannot read the queues: see the notes of docs/metrics.md"
_NO_PROBE = "no probe is sent: probe.interval is 0s"

PANELS: tuple[Panel, ...] = (
    *(
        number(
            f"In the {queue} queue",
            COUNT,
            f'sum({_ENTRIES}{{queue="{queue}"}})',
            width=4,
            note=f"How many messages wait in the queue of the {queue} sendmail?",
            none="not readable",
        )
        for queue in QUEUE_AGE
    ),
    *(
        number(
            f"Oldest, {queue}",
            Seconds,
            f'max(time() - {_OLDEST}{{queue="{queue}"}})',
            width=4,
            note=f"How long has the oldest message waited in the queue of the {queue} sendmail?",
            none="empty",
            steps=rising(age / 2, age),
        )
        for queue, age in QUEUE_AGE.items()
    ),
    amount(
        "Receipts not valid",
        increased(_INVALID),
        width=4,
        note="How many messages of the time shown had a receipt at the delivery side that was not valid? Each was "
        "scanned there.",
        steps=((None, "green"), (1, "orange")),
    ),
    amount(
        "Accepted",
        increased(_PASSED),
        width=4,
        note="How many messages of the time shown did miltscan let pass to the incoming queue?",
    ),
    graph(
        "Accepted and handed over",
        PER_MINUTE,
        (_ACCEPTED, "accepted from clients"),
        (_HANDED_OVER, "handed to the delivery sendmail"),
        note="Does the delivery sendmail receive what the incoming one accepts, in all directions? Handed over is what "
        "was accepted minus the growth of the incoming queue.",
        none=_NOT_READABLE,
        colours={"accepted from clients": colours.BLUE, "handed to the delivery sendmail": colours.TEAL},
        width=12,
    ),
    states(
        "State of the sandwich",
        ("min by (queue) (miltscan_sendmail_up)", "{{queue}} sendmail"),
        ("min by (queue) (miltscan_queue_readable)", "{{queue}} queue readable"),
        ("min by (message) (miltscan_probe_success)", "probe: {{message}}"),
        width=12,
    ),
    graph(
        "Messages waiting, by queue",
        Short,
        (f"sum by (queue) ({_ENTRIES})", "{{queue}}"),
        none=_NOT_READABLE,
        colours=colours.QUEUES,
    ),
    graph(
        "Oldest message in the queues",
        Seconds,
        (
            f"max by (queue) (time() - {_OLDEST}) or 0 * sum by (queue) ({_ENTRIES})",
            "{{queue}}",
        ),
        note="How long has the oldest message of each queue been waiting? 0 for an empty queue.",
        none=_NOT_READABLE,
        colours=colours.QUEUES,
    ),
    graph(
        "Bytes in the queues",
        BytesIEC,
        ("sum by (queue) (miltscan_queue_bytes)", "{{queue}}"),
        none=_NOT_READABLE,
        colours=colours.QUEUES,
    ),
    rows(
        "Probes",
        ("instance", "message"),
        ("min by (instance, message) (miltscan_probe_success)", "state", NoUnit),
        ("1000 * min by (instance, message) (miltscan_probe_last_run_timestamp_seconds)", "ended", DateTimeFromNow),
        note="Did the last probe of each kind succeed (up), and when did it end?",
        none=_NO_PROBE,
        names={"state": UP},
        width=10,
    ),
    graph(
        "Duration of the probe",
        Seconds,
        ("max by (message, stage) (miltscan_probe_duration_seconds)", "{{message}} {{stage}}"),
        none=_NO_PROBE,
        width=7,
    ),
    graph(
        "Receipts at the delivery side",
        PER_MINUTE,
        (seen("miltscan_receipts_total", "result"), "{{result}}"),
        none="no receipt was checked",
        width=7,
        colours=colours.RECEIPTS,
        stacked=True,
    ),
)
