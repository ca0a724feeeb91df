"""The first screen: does it work, how much mail arrives and what happens to it, how long does it take, what waits?"""

from grafana_foundation_sdk.models.units import Seconds, Short

from deploy.grafana.generator import colours
from deploy.grafana.generator.panels import (
    COUNT,
    NONE_IS_GOOD,
    PER_MINUTE,
    Panel,
    amount,
    assessment,
    graph,
    number,
    rising,
    states,
)
from deploy.grafana.generator.queries import increased, per_minute, quantile, quantiles

_MESSAGES = "miltscan_messages_total"
_UNSCANNED = 'miltscan_messages_total{outcome=~"unscanned|error", action=~"accept|hold"}'
_TIME = "miltscan_message_duration_seconds"
_SCAN = "miltscan_scan_duration_seconds"
_REQUIRED = (
    "min(max by (job, instance, engine) "
    "(miltscan_engine_up and on (job, instance, engine) miltscan_engine_required == 1))"
)
_PARTS = "min(miltscan_engine_up or miltscan_socket_bound or miltscan_sendmail_up or miltscan_probe_success)"
_REACHED = "(min(miltscan_socket_bound) or vector(1)) * (min(miltscan_workers > bool 0) or vector(0))"
_WORKERS = "(sum(miltscan_workers) >= bool sum(miltscan_workers_configured))"
# 0 not scraped, 1 no worker, no reachable socket, or no server of a required engine, 2 a part is down, 3 all is well
_STATE = (
    f"(min(up) or vector(0)) * (1 + ({_REQUIRED} or vector(0)) * {_REACHED} * "
    f"(1 + ({_PARTS} or vector(0)) * ({_WORKERS} or vector(0))))"
)
_STATES = {
    "0": ("not reachable", "red"),
    "1": ("cannot scan", "red"),
    "2": ("a part is down", "orange"),
    "3": ("ok", "green"),
}
_FIRING = 'ALERTS{alertname=~"Miltscan.+", alertstate="firing"}'
NO_MAIL = "no mail in the time shown"

PANELS: tuple[Panel, ...] = (
    assessment(
        "State",
        _STATE,
        _STATES,
        note="Does everything work now? With orange, mail is scanned, but a server, a sendmail, a probe or a worker "
        "is down: see State of each part.",
    ),
    number(
        "Alerts",
        COUNT,
        f"count({_FIRING}) or 0 * max(miltscan:setting:coverage_objective)",
        note="How many alerts of miltscan are firing? Marks in the graphs name them.",
        none="rules not loaded",
        steps=NONE_IS_GOOD,
    ),
    amount("Messages", increased(_MESSAGES), note="How many messages arrived in the time shown?"),
    amount(
        "Infected",
        increased('miltscan_messages_total{outcome="infected"}'),
        note="How many infected messages arrived in the time shown? To detect them is the purpose of the service.",
    ),
    amount(
        "Passed unscanned",
        increased(_UNSCANNED),
        note="How many messages were accepted or held although they were not scanned completely? The policy allows it.",
        steps=((None, "green"), (1, "orange")),
    ),
    amount(
        "Tempfailed",
        increased('miltscan_smtp_replies_total{code=~"4.."}'),
        note="How many messages must clients keep and send again? Those that try again are counted again.",
        steps=((None, "green"), (1, "orange")),
    ),
    number(
        "Added latency, 95 %",
        Seconds,
        quantile(0.95, _TIME, over="$__range"),
        note="How much time does miltscan add at most to 95 of 100 messages of the time shown?",
        none="no mail",
        steps=rising(2, 10),
    ),
    number(
        "In the queues",
        COUNT,
        "sum(miltscan_queue_entries)",
        note="How many messages wait in the queues of both sendmails?",
        none="not readable",
    ),
    graph(
        "Messages by outcome",
        PER_MINUTE,
        (per_minute(_MESSAGES, "outcome"), "{{outcome}}"),
        note="How many messages are scanned a minute, and with which outcome?",
        none=NO_MAIL,
        colours=colours.OUTCOMES,
        stacked=True,
        width=12,
        log='{job="miltscan", event="message", outcome="${__field.labels.outcome}"}',
    ),
    states(
        "State of each part",
        ("min(up)", "miltscan"),
        ("min by (socket) (miltscan_socket_bound)", "{{socket}}"),
        ("min by (engine, server) (miltscan_engine_up)", "{{engine}} {{server}}"),
        ("min by (queue) (miltscan_sendmail_up)", "{{queue}} sendmail"),
        ("min by (message) (miltscan_probe_success)", "probe: {{message}}"),
        note="Which part was down, and when? miltscan is down here when Prometheus does not reach it.",
        width=12,
    ),
    graph(
        "Added latency",
        Seconds,
        *quantiles(_TIME),
        note="How much time does miltscan add to a message at the end of the SMTP session? Status page and alert "
        "warn while the 95 % line is above the threshold.",
        limit="max(miltscan_threshold_latency_seconds)",
        colours=colours.QUANTILES,
        logarithmic=True,
        log='{job="miltscan", event="message"}',
    ),
    graph(
        "Scan duration, 95 %",
        Seconds,
        (quantile(0.95, _SCAN, "engine"), "{{engine}}"),
        note="How much time does each engine need at most for 95 of 100 messages?",
        logarithmic=True,
    ),
    graph(
        "Messages in the queues",
        Short,
        ("sum by (queue) (miltscan_queue_entries)", "{{queue}}"),
        none="miltscan cannot read the queues: see docs/metrics.md, notes",
        colours=colours.QUEUES,
    ),
)
