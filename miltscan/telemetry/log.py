"""Log lines on stdout, JSON for machines or plain text for people: set up once per process, one line per message.

A line is one write(2); its form is that of `log_line`. The log never fails or delays a message: `output` keeps and
counts what cannot be written.

Context is bound to a logger, never put into contextvars: those follow the connection, not the message, because
libmilter moves a connection between threads. docs/logging.md describes events and fields. It defines no metric.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from miltscan.core.action import ActionName
from miltscan.core.message import Message, direction
from miltscan.core.noted import notes_at_rcpt
from miltscan.core.report import RECIPIENTS_SHOWN, Group, Report, Timed
from miltscan.core.ruled import Ruling
from miltscan.core.structure import anomalies_of
from miltscan.core.verdict import Outcome
from miltscan.telemetry.log_line import Event, console, render_json, stamp, with_traceback
from miltscan.telemetry.output import Output

SYMBOLS_SHOWN = 20
"""Rules of an anti-spam engine that the line of a message names: those with the greatest effect."""
DECISIONS_SHOWN = 5
"""Decisions for groups of recipients that the line of a message has: the first ones."""

_NOT_SCANNED = (Outcome.UNSCANNED, Outcome.ERROR)
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(form: str, level: str) -> None:
    """Set up the log of this process, before `logger`: `form` is json or console.

    `level` is debug, info, warning or error.
    """
    _in_force.render = render_json if form == "json" else console(colors=os.isatty(1))
    _in_force.threshold = _LEVELS[level]
    structlog.configure(
        processors=[stamp, with_traceback, _call_listener, _in_force.render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Stdout,
        cache_logger_on_first_use=False,
    )


def on_error(listener: Callable[[Mapping[str, Any]], None]) -> None:
    """Call `listener` with each event of level error, in this process and its later forks; it must not raise."""
    _in_force.listener = listener


def logger(**context: object) -> FilteringBoundLogger:
    """Return a logger that adds `context` to each of its lines; its `bind` returns one with more context."""
    bound: FilteringBoundLogger = structlog.get_logger().bind(**context)
    return bound


def message(report: Report, worker: int) -> None:
    """Write the one line of a message, with the renderer in force but without the processors that other events need."""
    level = "warning" if is_warning(report) else "info"
    if _LEVELS[level] >= _in_force.threshold:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        event = {"timestamp": now, "level": level, "event": "message", **message_fields(report, worker)}
        if report.probe is not None:
            event |= {"event": "probe_message", "probe": report.probe}
        OUTPUT.line(_in_force.render(None, level, event))


def is_warning(report: Report) -> bool:
    """Return whether the line of a message is a warning: it was not scanned completely, or it was tempfailed."""
    return report.verdict.outcome in _NOT_SCANNED or report.decision.action.name is ActionName.TEMPFAIL


def message_fields(report: Report, worker: int) -> dict[str, object]:
    """Return the fields of a message's line. Texts are as the message has them; the renderer makes them printable."""
    message, verdict, decision = report.message, report.verdict, report.decision
    recipients, reply, kept, structure = message.envelope.recipients, decision.reply, report.kept, message.structure
    return {
        "queue_id": message.queue_id,
        "message_id": message.message_id.decode("utf-8", "backslashreplace"),
        "client_address": message.client.address,
        "client_name": message.client.name,
        "sender": message.envelope.sender.decode("utf-8", "backslashreplace"),
        "recipients": [one.decode("utf-8", "backslashreplace") for one in recipients[:RECIPIENTS_SHOWN]],
        "recipients_count": len(recipients),
        "direction": direction(message.client, message.envelope),
        "size": message.size,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "signature": verdict.signature,
        "unscanned_by": [one.engine for one in report.missing],
        "receipt": report.receipt,
        "list": report.listed.entry if report.listed else None,
        "rule": decision.rule,
        "action": decision.action.name,
        "area": kept.area if kept else None,
        "entry": (kept.entry or None) if kept else None,
        "reply": str(reply) if reply else None,
        "decisions": [*_decisions(report)] if report.groups else [],
        "decisions_count": len(report.groups),
        "observed": list(report.observed),
        "facts": list(report.notes),
        "part": verdict.part or None,
        "reading": structure.agreement if structure else None,
        "anomalies": sorted(anomalies_of(structure)) if structure else [],
        "parts_scanned": len(structure.scans) if structure else 0,
        "engines": [_engine_fields(timed) for timed in report.verdicts],
        "waited_ms": round(report.waited * 1000, 1),
        "total_ms": round(report.seconds * 1000, 1),
        "worker": worker,
    }


def recipient_refused(to: FilteringBoundLogger, message: Message, ruling: Ruling) -> None:
    """Write the line about the only recipient of `message`, who was refused at RCPT."""
    decision, envelope = ruling.decision, message.envelope
    to.info(
        "recipient_refused",
        queue_id=message.queue_id,
        client_address=message.client.address,
        client_name=message.client.name,
        sender=envelope.sender.decode("utf-8", "backslashreplace"),
        recipient=envelope.recipients[0].decode("utf-8", "backslashreplace"),
        direction=direction(message.client, envelope),
        rule=decision.rule,
        reply=str(decision.reply),
        observed=list(ruling.observed),
        facts=list(notes_at_rcpt(message.circumstances)),
    )


def _decisions(report: Report) -> Iterator[dict[str, object]]:
    """The first decisions for groups of recipients; together they name as many recipients as the message does."""
    left = RECIPIENTS_SHOWN
    for group in report.groups[:DECISIONS_SHOWN]:
        shown = group.recipients[:left]
        left -= len(shown)
        yield _decision_fields(group, [report.message.envelope.recipients[one] for one in shown])


def _decision_fields(group: Group, shown: list[bytes]) -> dict[str, object]:
    return {
        "recipients": [one.decode("utf-8", "backslashreplace") for one in shown],
        "recipients_count": len(group.recipients),
        "rule": group.decision.rule,
        "action": group.decision.action.name,
        "area": group.kept.area if group.kept else None,
        "entry": (group.kept.entry or None) if group.kept else None,
        "delivery": group.queue_id,
        "refusal": group.refusal,
    }


def _engine_fields(timed: Timed) -> dict[str, object]:
    verdict = timed.verdict
    fields: dict[str, object] = {
        "engine": verdict.engine,
        "outcome": verdict.outcome,
        "server": verdict.server,
        "ms": round(timed.seconds * 1000, 1),
    }
    if verdict.score is not None and verdict.advice is not None:
        fields |= {
            "score": round(verdict.score, 2),
            "threshold": verdict.advice.threshold,
            "advice": verdict.advice.action,
            "symbols": list(verdict.advice.symbols[:SYMBOLS_SHOWN]),
        }
    if verdict.outcome is not Outcome.CLEAN or verdict.allowed:
        details = {"signature": verdict.signature, "reason": verdict.reason, "detail": verdict.detail}
        fields |= {name: value for name, value in details.items() if value}
    return fields


def _call_listener(_logger: object, level: str, event: Event) -> Event:
    if level == "error" and _in_force.listener:
        _in_force.listener(event)
    return event


class _Stdout:
    """Passes lines to the output; structlog calls a method for each level."""

    def __init__(self, *_context: object) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg

    def msg(self, line: bytes) -> None:
        """Write one line."""
        OUTPUT.line(line)


def lost_lines(lines: int) -> bytes:
    """Return the line that stands for lost ones; it has the level that every configuration writes."""
    event: Event = {"event": "log_lines_lost", "lines": lines}
    rendered: bytes = _in_force.render(None, "error", stamp(None, "error", event))
    return rendered


@dataclass
class _InForce:
    """The choices of `configure` and `on_error`."""

    render: Callable[[object, str, Event], Any]
    threshold: int
    listener: Callable[[Mapping[str, Any]], None] | None = None


_in_force = _InForce(render_json, _LEVELS["info"])
OUTPUT = Output(lost_lines)
"""Where the lines of this process go."""
