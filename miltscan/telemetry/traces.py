"""Sends the data of each traced message from a worker to the tracer's process; it exports nothing.

A worker keeps the reports of decided messages and sends them a few times a second: as JSON, many in a datagram, on a
socket that never blocks. What finds no room is dropped and counted, so no worker waits for the tracer. A worker imports
nothing of OpenTelemetry.
"""

import socket
import time
from collections import deque
from importlib.util import find_spec
from typing import Any

import orjson

from miltscan.core.message import direction
from miltscan.core.report import RECIPIENTS_SHOWN, Report, Timed
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.telemetry import metrics
from miltscan.telemetry.log import is_warning

WAITING = 2000  # reports that a worker keeps at most while the tracer reads none
DATAGRAM = 100_000  # bytes at most; half of what a unix socket holds by default (net.core.wmem_default)
_ENOUGH = 50_000  # bytes after which a datagram is full; one message has 25,000 at most
_BATCH = 50  # messages in a datagram
_TEXT = 200  # characters of an attribute

INSTALL = "pip install --no-build-isolation --require-hashes -r deploy/requirements-otel.txt"
"""The command that installs the packages for tracing."""

Record = dict[str, Any]
"""A message: `ended` (nanoseconds since the epoch), `seconds`, `waited`, `failed`, `attributes`, `engines`."""


class Traces:
    """A worker's end of the trace channel; `addresses` is whether a trace may name people and hosts."""

    def __init__(self, channel: socket.socket, *, addresses: bool) -> None:
        self._channel = channel
        self._addresses = addresses
        self._reports: deque[tuple[int, Report]] = deque()

    def add(self, report: Report) -> None:
        """Keep the report of a message that was just decided. Any thread may call it; it costs an append."""
        if len(self._reports) < WAITING:
            self._reports.append((time.time_ns(), report))
        else:
            metrics.TRACES.child("dropped").inc()

    def send(self) -> None:
        """Send the reports; those that find no room wait for the next call. Only one thread may call it."""
        while self._reports:
            data, number = self._pack()
            if not self._sent(data):
                return
            for _ in range(number):
                self._reports.popleft()

    def _pack(self) -> tuple[bytes, int]:
        """Return the first reports as a datagram, and their number."""
        parts: list[bytes] = []
        for number in range(min(_BATCH, len(self._reports))):
            ended, report = self._reports[number]
            parts.append(orjson.dumps(trace_record(report, ended, addresses=self._addresses)))
            if sum(map(len, parts)) > _ENOUGH:
                break
        return b"[" + b",".join(parts) + b"]", len(parts)

    def _sent(self, data: bytes) -> bool:
        try:
            self._channel.send(data, socket.MSG_DONTWAIT)
        except OSError:  # the socket is full, or the tracer is just being replaced
            return False
        return True


def installed() -> bool:
    """Return whether the packages for tracing are installed."""
    try:
        return bool(find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk"))
    except ModuleNotFoundError:
        return False


def trace_record(report: Report, ended: int, *, addresses: bool) -> Record:
    """Return the data of a message for the tracer; `ended` is in nanoseconds since the epoch."""
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
