"""The data of each traced message, which a worker sends to the tracer's process; it exports nothing.

A worker imports nothing of OpenTelemetry.
"""

import socket
from functools import partial
from importlib.util import find_spec

from miltscan.core.message import direction
from miltscan.core.report import RECIPIENTS_SHOWN, Report, Timed
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.telemetry import service_metrics
from miltscan.telemetry.log import is_warning
from miltscan.telemetry.stream import Record, ReportStream

_TEXT = 200  # characters of an attribute

INSTALL = "pip install --no-build-isolation --require-hashes -r deploy/requirements-otel.txt"
"""The command that installs the packages for tracing."""


class Traces(ReportStream):
    """A worker's end of the trace channel; `addresses` is whether a trace may name people and hosts."""

    def __init__(self, channel: socket.socket, *, addresses: bool) -> None:
        super().__init__(
            channel, partial(trace_record, addresses=addresses), service_metrics.TRACES.child("dropped").inc
        )


def installed() -> bool:
    """Return whether the packages for tracing are installed."""
    try:
        return bool(find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk"))
    except ModuleNotFoundError:
        return False


def trace_record(report: Report, ended: int, *, addresses: bool) -> Record:
    """Return the data of a message for the tracer; `ended` is in nanoseconds since the epoch.

    It is `ended`, `seconds`, `waited`, `failed`, `attributes` and `engines`.
    """
    return {
        "ended": ended,
        "seconds": report.seconds,
        "waited": report.waited,
        "failed": is_warning(report),
        "attributes": _attributes(report) | (_addresses(report) if addresses else {}),
        "engines": [_engine(timed) for timed in report.verdicts],
    }


def _attributes(report: Report) -> Record:
    message, verdict, decision = report.message, report.verdict, report.decision
    return _cleaned(
        queue_id=message.queue_id,
        direction=direction(message.client, message.envelope),
        size=message.size,
        outcome=verdict.outcome,
        reason=verdict.reason,
        signature=verdict.signature,
        rule=decision.rule,
        action=decision.action.name,
        reply_code=decision.reply.code if decision.reply else None,
    )


def _addresses(report: Report) -> Record:
    """Return who sent the message and who receives it: personal data, which leaves this host only by configuration."""
    message = report.message
    recipients = message.envelope.recipients[:RECIPIENTS_SHOWN]
    texts = _cleaned(
        message_id=message.message_id,
        client_address=message.client.address,
        client_name=message.client.name,
        sender=message.envelope.sender,
    )
    return {**texts, "miltscan.recipients": [_short(recipient) for recipient in recipients]}


def _engine(timed: Timed) -> Record:
    verdict = timed.verdict
    return {
        "name": verdict.engine,
        "seconds": timed.seconds,
        "failed": verdict.outcome in {Outcome.ERROR, Outcome.UNSCANNED},
        "attributes": _cleaned(
            engine=verdict.engine,
            server=verdict.server or None,
            outcome=verdict.outcome,
            reason=verdict.reason,
            signature=verdict.signature,
        ),
    }


def _cleaned(**values: str | bytes | int | None) -> Record:
    """Return the values that are not None by their attributes' names; texts are short and printable."""
    given = {f"miltscan.{name}": value for name, value in values.items() if value is not None}
    return {name: value if isinstance(value, int) else _short(value) for name, value in given.items()}


def _short(value: str | bytes) -> str:
    return readable(readable(value, _TEXT), _TEXT)  # twice, as an escape is longer than the character that it replaces
