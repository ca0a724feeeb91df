"""Row "Sandwich": does mail pass from the incoming sendmail to the delivery sendmail and on, or does it accumulate?

No sendmail counts what it hands over. What left a queue is what arrived minus the growth of the queue. The time that a
message spends in a queue is the length of the queue divided by that rate (Little's law).
"""

from grafana_foundation_sdk.models.units import BytesIEC, Seconds, Short

from deploy.grafana.generator.panels import NONE_IS_GOOD, PER_SECOND, Panel, graph, rising, states
from deploy.grafana.generator.queries import increase, or_none, rate
from miltscan.core.thresholds import QUEUE_AGE

_ENTRIES = "miltscan_queue_entries"
_OLDEST = "miltscan_queue_oldest_timestamp_seconds"
_ACCEPTED = 'miltscan_messages_total{action=~"accept|hold", direction=~".*"}'
_ACCEPTED_RATE = f"({rate(_ACCEPTED)} or vector(0))"
_INCOMING = f'{_ENTRIES}{{queue="incoming"}}'
_HANDED_OVER = f"clamp_min({_ACCEPTED_RATE} - sum(deriv({_INCOMING}[$__rate_interval])), 0)"

PANELS: tuple[Panel, ...] = (
    graph(
        "Messages in the queues",
        Short,
        (f"sum by (queue) ({_ENTRIES})", "{{queue}}"),
        steps=rising(500, 5000),
    ),
    graph(
        "Oldest message in the queues",
        Seconds,
        (
            f"max by (queue) (time() - {_OLDEST}) or 0 * sum by (queue) ({_ENTRIES})",
            "{{queue}}",
        ),
        note="How long has the oldest message of each queue been waiting? 0 for an empty queue.",
        steps=rising(*QUEUE_AGE.values()),
    ),
    graph("Bytes in the queues", BytesIEC, ("sum by (queue) (miltscan_queue_bytes)", "{{queue}}")),
    graph(
        "Handed to the delivery sendmail",
        PER_SECOND,
        (_ACCEPTED_RATE, "accepted from clients"),
        (_HANDED_OVER, "handed over"),
        note="Does the delivery sendmail receive what the incoming one accepts, in all directions? Handed over is what "
        "was accepted minus the growth of the incoming queue.",
        width=12,
    ),
    graph(
        "Delay before the handoff",
        Seconds,
        (f"sum(avg_over_time({_INCOMING}[$__rate_interval])) / clamp_min({_HANDED_OVER}, 0.001)", "mean"),
        note="How long does a message wait in the incoming queue, on average? It is the number of messages in the "
        "queue divided by those handed over per second.",
        steps=rising(60, 600),
        width=12,
    ),
    states(
        "Probe",
        ("min by (instance, message) (miltscan_probe_success)", "{{message}} {{instance}}"),
    ),
    graph(
        "Duration of the probe",
        Seconds,
        ("max by (message, stage) (miltscan_probe_duration_seconds)", "{{message}} {{stage}}"),
        steps=rising(5, 30),
    ),
    graph(
        "Age of the last probe",
        Seconds,
        (
            "time() - min by (instance, message) (miltscan_probe_last_run_timestamp_seconds)",
            "{{message}} {{instance}}",
        ),
        note="How long ago did the last probe end, successful or not? No probe is sent where probe.interval is 0s.",
    ),
    states(
        "Readable queues",
        ("min by (instance, queue) (miltscan_queue_readable)", "{{queue}} {{instance}}"),
        width=6,
    ),
    states(
        "Sendmails that answer",
        ("min by (instance, queue) (miltscan_sendmail_up)", "{{queue}} {{instance}}"),
        width=6,
    ),
    graph(
        "Messages by direction",
        PER_SECOND,
        (or_none(rate("miltscan_messages_total", "direction"), "direction"), "{{direction}}"),
        note="In which direction does mail go?",
        stacked=True,
        width=12,
    ),
    graph(
        "Receipts at the delivery side",
        PER_SECOND,
        (rate("miltscan_receipts_total", "result"), "{{result}}"),
        stacked=True,
        width=16,
    ),
    graph(
        "Receipts that are not valid",
        Short,
        (
            increase('miltscan_receipts_total{result!~"valid|rescanned|none"}', "result", "$__rate_interval"),
            "{{result}}",
        ),
        note="Does someone try to bypass the scan (forged), or are keys, clocks or filters wrong? Each of these "
        "messages was scanned at the delivery side.",
        steps=NONE_IS_GOOD,
    ),
)
