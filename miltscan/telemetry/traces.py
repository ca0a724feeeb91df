"""What is traced of a message, on its way from a worker to the tracer's process; it exports nothing.

A worker keeps the reports of messages that are done, and hands them on a few times a second: as JSON, many to a
datagram, on a socket that takes them at once or not at all. What finds no room is dropped and counted: nobody
waits for the tracer, and a worker imports nothing for it.
"""

import socket
import time
from collections import deque
from importlib.util import find_spec
from typing import Any

import orjson

from miltscan.core.message import direction
from miltscan.core.report import Report, Timed
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.telemetry import metrics
from miltscan.telemetry.log import RECIPIENTS_SHOWN, needs_a_look

WAITING = 2000  # reports that a worker keeps at most while the tracer takes none
DATAGRAM = 100_000  # bytes at most; half of what a unix socket holds by default (net.core.wmem_default)
_ENOUGH = 50_000  # bytes after which a datagram takes no more messages; one has 25,000 at most
_BATCH = 50  # messages a datagram
_TEXT = 200  # characters of an attribute

Record = dict[str, Any]
"""A message: `ended` (nanoseconds since the epoch), `seconds`, `waited`, `failed`, `attributes`, `engines`."""


class Traces:
    """A worker's end of the way; `addresses`: whether people and hosts may be named."""

    def __init__(self, way: socket.socket, *, addresses: bool) -> None:
        self._way = way
        self._addresses = addresses
        self._reports: deque[tuple[int, Report]] = deque()

    def take(self, report: Report) -> None:
        """A message was decided just now; from any thread, at the cost of an append."""
        if len(self._reports) < WAITING:
            self._reports.append((time.time_ns(), report))
        else:
            metrics.TRACES.child("dropped").inc()

    def send(self) -> None:
        """Hand on what was taken; what finds no room stays for the next time. From one thread alone."""
        while self._reports:
            data, number = self._pack()
            if not self._sent(data):
                return
            for _ in range(number):
                self._reports.popleft()

    def _pack(self) -> tuple[bytes, int]:
        """The first reports as a datagram, and how many they are."""
        parts: list[bytes] = []
        for number in range(min(_BATCH, len(self._reports))):
            ended, report = self._reports[number]
            parts.append(orjson.dumps(trace_record(report, ended, addresses=self._addresses)))
            if sum(map(len, parts)) > _ENOUGH:
                break
        return b"[" + b",".join(parts) + b"]", len(parts)

    def _sent(self, data: bytes) -> bool:
        try:
            self._way.send(data, socket.MSG_DONTWAIT)
        except OSError:  # full, or the tracer is between two lives
            return False
        return True


def missing() -> str | None:
    """What to tell an administrator who wants traces without the packages for them; None if they are there."""
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk")
    except ModuleNotFoundError:
        found = None
    return (
        None
        if found
        else "OpenTelemetry is not installed: pip install --require-hashes -r deploy/requirements-otel.txt"
    )


def way() -> tuple[socket.socket, socket.socket]:
    """The workers' and the tracer's end of the way, to be made before the fork; it keeps datagrams whole."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)


def trace_record(report: Report, ended: int, *, addresses: bool) -> Record:
    """What is told of a message."""
    return {
        "ended": ended,
        "seconds": report.seconds,
        "waited": report.waited,
        "failed": needs_a_look(report),
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
    """Whoever sent and gets it: personal data, which leaves this host only if that is wanted."""
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
    """The values that there are, by their attributes' names; texts short and printable."""
    given = {f"miltscan.{name}": value for name, value in values.items() if value is not None}
    return {name: value if isinstance(value, int) else _short(value) for name, value in given.items()}


def _short(value: str | bytes) -> str:
    return readable(readable(value, _TEXT), _TEXT)  # twice: an escape is longer than what it stands for
