"""The log lines of a change in the quarantine, which `trace` reads: event, level and fields. It writes none.

Commands pass them to `telemetry.audit`, the keeper to its log. docs/logging.md describes events and fields.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from miltscan.core.report import RECIPIENTS_SHOWN
from miltscan.quarantine.entry import Entry
from miltscan.quarantine.release import Release
from miltscan.quarantine.retention import Expired


class AuditLine(NamedTuple):
    """One line of the log; its texts are as the message has them, the renderer makes them printable."""

    event: str
    level: str
    fields: dict[str, object]


def release_lines(release: Release) -> Iterator[AuditLine]:
    """A line for each queue ID at the delivery sendmail, and for each reply without one."""
    entry, order = release.entry, release.order
    for (queue_id, reply), recipients in release.by_reply().items():
        known = _named(entry) | {"sender": _text(entry.sender)} | _recipients(recipients)
        why = {"reply": reply, "by": order.by, "reason": order.reason}
        if queue_id:
            yield AuditLine("released", "info", known | {"delivery": queue_id} | why)
        else:
            yield AuditLine("release_failed", "warning", known | why)


def deletion_line(entry: Entry, by: str, reason: str) -> AuditLine:
    """The line of a deletion, which is final for all who have not received the message."""
    return AuditLine("entry_deleted", "info", _named(entry) | {"by": by, "reason": reason})


def expiry_line(expired: Expired, by: str = "keeper") -> AuditLine:
    """The line of a deletion by the bounds of the area."""
    fields = {"queue_id": expired.queue_id, "entry": expired.id, "area": expired.area}
    return AuditLine("entry_deleted", "info", {**fields, "by": by, "reason": f"expired: {expired.bound}"})


def _named(entry: Entry) -> dict[str, object]:
    return {"queue_id": entry.queue_id, "entry": entry.id, "area": entry.area}


def _recipients(recipients: Sequence[bytes]) -> dict[str, object]:
    shown = [_text(one) for one in recipients[:RECIPIENTS_SHOWN]]
    return {"recipients": shown, "recipients_count": len(recipients)}


def _text(address: bytes) -> str:
    return address.decode("utf-8", "backslashreplace")
