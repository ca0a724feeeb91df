"""The last detections and errors, from every process to the exporter; lost rather than waited for, as the log has all.

They go over a pair of datagram sockets made before the fork. A sender never waits: where the exporter is dead or slow
the datagram is dropped. What is private stays away: no sender, recipient, subject or file name. The queue ID leads to
the line in the log that has them.
"""

import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from miltscan.core.action import ActionName
from miltscan.core.message import direction
from miltscan.core.report import Report
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome

KEPT = 50
"""How many detections and how many errors are kept."""
TEXT_LIMIT = 200
"""Characters of any text."""
_DATAGRAM_LIMIT = 16384  # bytes; five texts of TEXT_LIMIT escapes of ten characters
_READ_AT_ONCE = 256  # datagrams, after which a scrape gets its turn


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
    """Something that went wrong: what, in words, how often, last when (Unix time) and with which message."""

    at: float
    what: str
    text: str
    queue_id: str = ""
    count: int = 1


class Reporter:
    """The senders' side. Its methods never raise and never wait."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        channel.setblocking(False)  # noqa: FBT003 - socket's own signature

    def message(self, report: Report) -> None:
        """A message is done; most are clean, and nothing is said of them."""
        verdict, action = report.verdict, report.decision.action.name
        if verdict.outcome is Outcome.INFECTED:
            self._send("detection", _detection(report))
        elif verdict.outcome is not Outcome.CLEAN or action is ActionName.TEMPFAIL:
            text = ": ".join(filter(None, (verdict.reason, verdict.server, verdict.detail)))
            self._send("trouble", _trouble(f"message {verdict.outcome}, {action}", text, report.message.queue_id))

    def error(self, event: Mapping[str, Any]) -> None:
        """An event of level error, as it goes to the log."""
        with suppress(Exception):
            self._send("trouble", _trouble(str(event["event"]), _words(event), ""))

    def _send(self, kind: str, fields: Mapping[str, Any]) -> None:
        with suppress(Exception):
            clean = {key: _clean(value) for key, value in fields.items()}
            self._channel.send(orjson.dumps([kind, clean]))


def _clean(value: object) -> object:
    """An escape is longer than what it stands for: cut a second time."""
    return value if isinstance(value, float) else readable(readable(str(value), TEXT_LIMIT), TEXT_LIMIT)


def _detection(report: Report) -> dict[str, Any]:
    message = report.message
    return {
        "at": time.time(),
        "queue_id": message.queue_id,
        "client": message.client.address,
        "direction": direction(message.client, message.envelope),
        "signature": report.verdict.signature or "",
        "action": report.decision.action.name,
    }


def _trouble(what: str, text: str, queue_id: str) -> dict[str, Any]:
    return {"at": time.time(), "what": what, "text": text, "queue_id": queue_id}


_PHRASES = {
    "engine_down": "{server} is down: {why}",
    "child_died": "{child} died: {status}; replaced after {respawn_after:g} s",
    "child_failed": "{child}: {exception}",
    "start_failed": "{child}: {why}",
    "reload_failed": "the former configuration stays: {why}",
    "exception": "at {where}: {exception}",
}


def _words(event: Mapping[str, Any]) -> str:
    fields = {key: "; ".join(map(str, value)) if isinstance(value, list) else value for key, value in event.items()}
    try:
        return _PHRASES[event["event"]].format(**fields)
    except (KeyError, ValueError):
        known = {"timestamp", "level", "event", "traceback"}
        return ", ".join(f"{key} {value}" for key, value in fields.items() if key not in known)


@dataclass(slots=True)
class RecentEvents:
    """The reader's side: the newest first. The same trouble again moves to the front with its count."""

    detections: list[Detection] = field(default_factory=list)
    troubles: list[ErrorEvent] = field(default_factory=list)

    def read(self, channel: socket.socket) -> None:
        """Take in what has come; a datagram that cannot be read is dropped."""
        for _ in range(_READ_AT_ONCE):
            try:
                data = channel.recv(_DATAGRAM_LIMIT, socket.MSG_DONTWAIT)
            except OSError:
                return
            self.take(data)

    def take(self, data: bytes) -> None:
        """One datagram."""
        try:
            kind, fields = orjson.loads(data)
            if kind == "detection":
                self.detections = [Detection(**fields), *self.detections][:KEPT]
            else:
                self._fold(ErrorEvent(**fields))
        except (ValueError, TypeError):
            return

    def _fold(self, new: ErrorEvent) -> None:
        same = [old for old in self.troubles if (old.what, old.text) == (new.what, new.text)]
        others = [old for old in self.troubles if old not in same]
        self.troubles = [replace(new, count=1 + sum(old.count for old in same)), *others][:KEPT]


def channel() -> tuple[socket.socket, socket.socket]:
    """The two ends, to read and to send; to be made before the fork."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
