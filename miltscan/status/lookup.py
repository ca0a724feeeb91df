"""The last messages, for the field of the page that takes a queue ID or a Message-ID.

Workers send them in batches, so that a message costs a few microseconds. A line has nothing private; of the Message-ID
it has a digest, by which who knows the ID finds the message.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from miltscan.core.message import direction
from miltscan.core.policy import is_builtin
from miltscan.core.report import Report
from miltscan.core.text import readable

KEPT_MESSAGES = 2000
"""How many messages can be found."""
_BATCH = 50  # messages in a datagram: some 10 KB
_LENGTH = 80  # characters of a text


@dataclass(frozen=True, slots=True)
class MessageLine:
    """What was decided about one message; `at` is Unix time, `seconds` the time from EOM to the decision."""

    at: float
    queue_id: str
    key: str
    direction: str
    outcome: str
    action: str
    code: int
    found: str
    rule: str
    seconds: float
    size: int


def key_of(message_id: bytes) -> str:
    """Return the digest of a Message-ID, with or without its angle brackets."""
    return blake2b(message_id.strip().strip(b"<>"), digest_size=8).hexdigest()


def batches(reports: Sequence[Report]) -> Iterator[list[list[Any]]]:
    """Yield the lines of these messages as lists of fields, so many that they fit into a datagram."""
    now = round(time.time(), 1)
    for start in range(0, len(reports), _BATCH):
        yield [_fields(report, now) for report in reports[start : start + _BATCH]]


def _fields(report: Report, now: float) -> list[Any]:
    message, verdict, decision = report.message, report.verdict, report.decision
    found = verdict.signature or verdict.reason or ""
    return [
        now,
        message.queue_id,
        key_of(message.message_id) if message.message_id else "",
        direction(message.client, message.envelope),
        verdict.outcome,
        decision.action.name,
        decision.reply.code if decision.reply else 250,
        readable(found, _LENGTH) if found else "",
        "" if is_builtin(decision.rule) else readable(decision.rule, _LENGTH),
        round(report.seconds, 4),
        message.size,
    ]


@dataclass(slots=True)
class RecentMessages:
    """Keeps the newest messages, by queue ID and by the digest of their Message-ID."""

    _by_id: OrderedDict[str, MessageLine] = field(default_factory=OrderedDict)
    _by_key: dict[str, str] = field(default_factory=dict)

    def add(self, line: MessageLine) -> None:
        """Add a message; the oldest one goes."""
        self._by_id[line.queue_id] = line
        self._by_id.move_to_end(line.queue_id)
        if line.key:
            self._by_key[line.key] = line.queue_id
        if len(self._by_id) > KEPT_MESSAGES:
            queue_id, old = self._by_id.popitem(last=False)
            if self._by_key.get(old.key) == queue_id:
                del self._by_key[old.key]

    def find(self, text: str) -> MessageLine | None:
        """Return the message with this queue ID or Message-ID; None if there is none, or no longer."""
        text = text.strip()
        return self._by_id.get(text) or self._by_id.get(self._by_key.get(key_of(text.encode()), ""))
