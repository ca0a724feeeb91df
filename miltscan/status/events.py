"""The last detections and errors, sent from every process to the exporter.

They travel over a pair of datagram sockets made before the fork. A sender never waits: if the exporter is dead or slow
the datagram is dropped, as the log has everything. An event contains nothing private: no sender, recipient, subject or
file name. Its queue ID leads to the line in the log that has them.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from miltscan.core.action import ActionName
from miltscan.core.message import direction
from miltscan.core.report import Report
from miltscan.core.text import readable
from miltscan.core.verdict import Limit, Outcome, Verdict
from miltscan.status import lookup
from miltscan.status.lookup import MessageLine, RecentMessages

KEPT = 50
"""The number of detections, and of errors, that are kept."""
TEXT_LIMIT = 200
"""The most characters of any text."""
_DATAGRAM_LIMIT = 16384  # bytes: five texts of TEXT_LIMIT escapes with ten characters each
_READ_AT_ONCE = 256  # datagrams; then a scrape may proceed


@dataclass(frozen=True, slots=True)
class Detection:
    """A message in which an engine found something; `at` is Unix time."""

    at: float
    queue_id: str
    client: str
    direction: str
    signature: str
    action: str


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """An error: what failed, the details, how often, and when (Unix time) and at which message it last occurred."""

    at: float
    what: str
    text: str
    queue_id: str = ""
    count: int = 1


class Reporter:
    """Sends events. Its methods never raise and never wait."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        channel.setblocking(False)  # noqa: FBT003 - socket's own signature

    def message(self, report: Report) -> None:
        """Send an event if the message was infected, refused as spam, not scanned or tempfailed."""
        verdict, action = report.verdict, report.decision.action.name
        if verdict.outcome is Outcome.INFECTED or (verdict.outcome is Outcome.SPAM and action is not ActionName.ACCEPT):
            self._send("detection", _detection(report))
        elif action is ActionName.ACCEPT and (verdict.outcome is Outcome.SPAM or verdict.reason is Limit.ENCRYPTED):
            return  # as the policy wants it: nothing failed
        elif verdict.outcome is not Outcome.CLEAN or action is ActionName.TEMPFAIL:
            text = ": ".join(filter(None, (verdict.reason, verdict.server, verdict.detail)))
            self._send("error", _error(f"message {verdict.outcome}, {action}", text, report.message.queue_id))

    def messages(self, reports: Sequence[Report]) -> None:
        """Send the lines of messages, by which the page finds them."""
        with suppress(Exception):
            for batch in lookup.batches(reports):
                self._channel.send(orjson.dumps(["messages", {"lines": batch}]))

    def error(self, event: Mapping[str, Any]) -> None:
        """Send an event that the log has with level error."""
        with suppress(Exception):
            self._send("error", _error(str(event["event"]), _details(event), ""))
            if event["event"] == "engine_down":
                self._send("down", {key: event[key] for key in ("engine", "server", "why")})

    def _send(self, kind: str, fields: Mapping[str, Any]) -> None:
        with suppress(Exception):
            clean = {
                # cut twice, as an escape is longer than the character that it replaces
                key: value if isinstance(value, float) else readable(readable(str(value), TEXT_LIMIT), TEXT_LIMIT)
                for key, value in fields.items()
            }
            self._channel.send(orjson.dumps([kind, clean]))


def _detection(report: Report) -> dict[str, Any]:
    message = report.message
    return {
        "at": time.time(),
        "queue_id": message.queue_id,
        "client": message.client.address,
        "direction": direction(message.client, message.envelope),
        "signature": report.verdict.signature or _spam(report.verdict),
        "action": report.decision.action.name,
    }


def _spam(verdict: Verdict) -> str:
    return "spam" if verdict.score is None else f"spam, score {verdict.score:g}"


def _error(what: str, text: str, queue_id: str) -> dict[str, Any]:
    return {"at": time.time(), "what": what, "text": text, "queue_id": queue_id}


_PHRASES = {
    "engine_down": "{engine} {server} is down: {why}",
    "sessions_full": "half of the {limit} file descriptors of a worker are in use: it accepts no more sessions",
    "child_hangs": "{child} hangs: {why}",
    "child_died": "{child} died: {status}; replaced after {respawn_after:g} s",
    "child_failed": "{child}: {exception}",
    "start_failed": "{child}: {why}",
    "reload_failed": "the former configuration stays in force: {why}",
    "exception": "at {where}: {exception}",
}


def _details(event: Mapping[str, Any]) -> str:
    fields = {key: "; ".join(map(str, value)) if isinstance(value, list) else value for key, value in event.items()}
    try:
        return _PHRASES[event["event"]].format(**fields)
    except (KeyError, ValueError):
        known = {"timestamp", "level", "event", "traceback"}
        return ", ".join(f"{key} {value}" for key, value in fields.items() if key not in known)


@dataclass(slots=True)
class RecentEvents:
    """Receives events and keeps the newest ones, newest first; a repeated error moves to the front with its count."""

    detections: list[Detection] = field(default_factory=list)
    errors: list[ErrorEvent] = field(default_factory=list)
    messages: RecentMessages = field(default_factory=RecentMessages)
    reasons: dict[tuple[str, str], str] = field(default_factory=dict)
    """Why each server failed its last self-test, by engine and server; also of one that is up again."""

    def read(self, channel: socket.socket) -> None:
        """Receive the datagrams that have arrived; one that cannot be parsed is dropped."""
        for _ in range(_READ_AT_ONCE):
            try:
                data = channel.recv(_DATAGRAM_LIMIT, socket.MSG_DONTWAIT)
            except OSError:
                return
            self.add(data)

    def add(self, data: bytes) -> None:
        """Add the event in one datagram."""
        try:
            kind, fields = orjson.loads(data)
            if kind == "detection":
                self.detections = [Detection(**fields), *self.detections][:KEPT]
            elif kind == "messages":
                for line in fields["lines"]:
                    self.messages.add(MessageLine(*line))
            elif kind == "down":
                self._down(**fields)
            else:
                new = ErrorEvent(**fields)
                same = [old for old in self.errors if (old.what, old.text) == (new.what, new.text)]
                others = [old for old in self.errors if old not in same]
                self.errors = [replace(new, count=1 + sum(old.count for old in same)), *others][:KEPT]
        except (ValueError, TypeError):
            return

    def _down(self, engine: str, server: str, why: str) -> None:
        if (engine, server) in self.reasons or len(self.reasons) < KEPT:  # the names come from settings: few
            self.reasons[engine, server] = why


def channel() -> tuple[socket.socket, socket.socket]:
    """Return the two ends, to read from and to send to; make them before the fork."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
