"""What sendmail logs of one message on its way through both sendmails: from lines to findings. It reads no file."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath

from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.topics import no_sendmail
from miltscan.sandwich.logline import EventKind, LogEvent, handoff_id, parse_line

_MARK = re.compile(r"Milter.*X-Virus-Status:(.*)")
_ANY_TIME = datetime.max.replace(tzinfo=UTC)  # the times of the lines do not matter here


@dataclass(frozen=True, slots=True)
class HopEvents:
    """How far a message came: what each hop logged, empty if it has logged nothing (yet)."""

    status: str  # X-Virus-Status, added by the filter
    handoff: str  # stat= at incoming
    delivery_id: str
    delivered: str  # stat= at delivery
    logged: bool = True  # any line at incoming

    @property
    def over(self) -> bool:
        """Whether no further line is expected."""
        return bool(self.delivered) or (bool(self.handoff) and not self.delivery_id)


def follow_hops(lines: Sequence[str], queue_id: str) -> HopEvents:
    """The events of the message that has this queue ID at incoming."""
    events = [parse_line(line, _ANY_TIME) for line in lines]
    marks = [found[1] for one in events if one.queue_id == queue_id and (found := _MARK.match(one.text))]
    handoff = _last_attempt(events, queue_id)
    delivery_id = (handoff and handoff_id(handoff)) or ""
    delivered = _last_attempt(events, delivery_id)
    stats = [(event and event.get("stat")) or "" for event in (handoff, delivered)]
    logged = any(one.queue_id == queue_id for one in events)
    return HopEvents((marks or [""])[-1].strip(), stats[0], delivery_id, stats[1], logged)


def _last_attempt(events: Sequence[LogEvent], queue_id: str) -> LogEvent | None:
    found = (one for one in reversed(events) if one.kind is EventKind.DELIVERY and one.queue_id == queue_id)
    return next(found, None)


def hop_findings(hops: HopEvents, incoming: PurePath, delivery: PurePath) -> Iterator[Finding]:
    """One for each hop after the 250 of incoming; the paths are those of both .cf files."""
    if not hops.logged:
        text = "unknown: the log has no line of this message, so it is not the log of incoming"
        yield warning("clean message: handoff", text, "name the log of both sendmails: --log FILE")
        return
    if hops.status:
        yield ok("clean message: miltscan", f"X-Virus-Status: {hops.status}")
    else:
        text = "no line of the filter in the log; the reply to the test signature shows whether it scans"
        yield ok("clean message: miltscan", text)
    if not hops.delivery_id:
        text = f"stat={hops.handoff}" if hops.handoff else "not in the log yet: it waits in the queue of incoming"
        remedy = f"check that the delivery sendmail runs, and run: mailq -C {incoming}"
        yield error("clean message: handoff", text, remedy).because(no_sendmail("delivery"))
        return
    yield ok("clean message: handoff", f"stat={hops.handoff}")
    subject, text = "clean message: delivery", f"{hops.delivery_id}: stat={hops.delivered}"
    if hops.delivered.startswith("Sent"):
        yield ok(subject, text)
    elif hops.delivered:
        yield error(subject, text, f"read the reason in stat=, and run: mailq -C {delivery}")
    else:
        text = f"{hops.delivery_id}: not in the log yet: it waits in the queue of delivery"
        yield warning(subject, text, f"run: mailq -C {delivery}")
