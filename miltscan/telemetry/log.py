"""Log lines on stdout, JSON for machines or plain text for people: set up once per process, one line per message.

No text of a message can break a line or a terminal: every value passes `core.text.readable`, and the keys are
miltscan's. A line is one write(2) of less than PIPE_BUF bytes, which POSIX makes atomic on a pipe, so lines of several
workers never mix. The log never fails or delays a message: `output` keeps and counts what cannot be written.

Context is bound to a logger, never put into contextvars: those follow the connection, not the message, because
libmilter moves a connection between threads. docs/logging.md describes events and fields. It defines no metric.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from miltscan.core.action import ActionName
from miltscan.core.message import Message, direction
from miltscan.core.noted import notes_at_rcpt
from miltscan.core.report import RECIPIENTS_SHOWN, Group, Report, Timed
from miltscan.core.ruled import Ruling
from miltscan.core.structure import anomalies_of
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.telemetry.output import Output

LINE_LIMIT = 4095  # bytes with the line feed: below PIPE_BUF of Linux (4,096), up to which a write to a pipe is atomic
FRAMES_SHOWN = 8
SYMBOLS_SHOWN = 20
"""Rules of an anti-spam engine that the line of a message names: those with the greatest effect."""
DECISIONS_SHOWN = 5
"""Decisions for groups of recipients that the line of a message has: the first ones."""
CHAIN_SHOWN = 3
_TEXT_LIMITS = (1000, 500, 250, 125, 62, 31, 15)  # characters of each text, tried in turn until the line fits
_INTEGERS = range(-(2**63), 2**64)  # what orjson can encode

_NOT_SCANNED = (Outcome.UNSCANNED, Outcome.ERROR)
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Event = MutableMapping[str, Any]


def configure(form: str, level: str) -> None:
    """Set up the log of this process, before `logger`: `form` is json or console.

    `level` is debug, info, warning or error.
    """
    _in_force.render = _json if form == "json" else _console(colors=os.isatty(1))
    _in_force.threshold = _LEVELS[level]
    structlog.configure(
        processors=[_stamp, _exception, _call_listener, _in_force.render],
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


def _stamp(_logger: object, level: str, event: Event) -> Event:
    """Put time, level and event first."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"timestamp": now, "level": level, "event": event.pop("event"), **event}


def _exception(_logger: object, _level: str, event: Event) -> Event:
    """Turn `exc_info` (True or an exception) into `exception`, its last line, and `traceback`, a list of frames."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1]
    if given and error:
        event["exception"] = "".join(traceback.format_exception_only(error)).strip()
        event["traceback"] = [line for link in _chain(error) for line in _frames(link)]
    return event


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(CHAIN_SHOWN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _frames(error: BaseException) -> Iterator[str]:
    yield type(error).__name__
    for frame in traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]:
        yield f"{frame.filename}:{frame.lineno} {frame.name}: {frame.line}"


def _call_listener(_logger: object, level: str, event: Event) -> Event:
    if level == "error" and _in_force.listener:
        _in_force.listener(event)
    return event


def json_line(level: str, event: Event, limit: int) -> bytes:
    """Return an event as a line of JSON in ASCII, of at most `limit` bytes and without line feed, for another log."""

    def ascii_json(one: Event) -> bytes:
        return json.dumps(one).encode()

    return _bounded(ascii_json, _stamp(None, level, event), limit).rstrip(b"\n")


def _json(_logger: object, _level: str, event: Event) -> bytes:
    """Render a line; the last processor. A line of printable ASCII without a backslash contains nothing to clean.

    Most lines are of that kind, and checking the line costs a tenth of checking each value (1 against 13 us).
    """
    try:
        line = orjson.dumps(event, default=lambda value: readable(value if isinstance(value, bytes) else str(value)))
    except orjson.JSONEncodeError:  # a lone surrogate, or an integer of more than 64 bits
        return _bounded(orjson.dumps, event)
    harmless = line.isascii() and b"\\" not in line and b"\x7f" not in line
    return line + b"\n" if harmless and len(line) < LINE_LIMIT else _bounded(orjson.dumps, event)


def _bounded(render: Callable[[Event], bytes], event: Event, most: int = LINE_LIMIT) -> bytes:
    """Return the line, rendered with shorter and shorter texts until it fits."""
    line = b""
    for limit in _TEXT_LIMITS:
        line = render({key: _clean(value, limit) for key, value in event.items()}) + b"\n"
        if len(line) <= most:
            break
    return line


def _clean(value: object, limit: int) -> object:
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if value in _INTEGERS else str(value)
        case dict():
            return {key: _clean(item, limit) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item, limit) for item in value]
        case bytes():
            return readable(readable(value, limit), limit)  # cut twice, as an escape is longer than its character
        case _:
            return readable(readable(str(value), limit), limit)


def _console(*, colors: bool) -> Processor:
    renderer = structlog.dev.ConsoleRenderer(colors=colors)

    def render(event: Event) -> bytes:
        frames = event.pop("traceback", None)
        if frames:  # the renderer puts them on separate lines below the event
            event["exception"] = "\n".join([*frames, event["exception"]])
        return str(renderer(None, event["level"], event)).encode()

    return lambda _logger, _level, event: _bounded(render, event)


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
    rendered: bytes = _in_force.render(None, "error", _stamp(None, "error", event))
    return rendered


@dataclass
class _InForce:
    """The choices of `configure` and `on_error`."""

    render: Callable[[object, str, Event], Any]
    threshold: int
    listener: Callable[[Mapping[str, Any]], None] | None = None


_in_force = _InForce(_json, _LEVELS["info"])
OUTPUT = Output(lost_lines)
"""Where the lines of this process go."""
