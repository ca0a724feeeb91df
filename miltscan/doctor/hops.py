"""What sendmail logs of one message on its way through both: from lines to findings. It reads nothing."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from miltscan.core.finding import Finding, error, ok, warning
from miltscan.sandwich.logline import EventKind, LogEvent, handoff_id, parse_line

_MARK = re.compile(r"Milter.*X-Virus-Status:(.*)")
_ANY_TIME = datetime.max.replace(tzinfo=UTC)  # when it was does not matter here


@dataclass(frozen=True, slots=True)
class HopEvents:
    """How far a message got: what each hop logged, empty where it has said nothing (yet)."""

    status: str  # what the filter called it (X-Virus-Status)
    handed: str  # stat= at incoming
    delivery_id: str
    delivered: str  # stat= at delivery

    @property
    def over(self) -> bool:
        """Whether nothing more is to be awaited."""
        return bool(self.delivered) or (bool(self.handed) and not self.delivery_id)


def follow_hops(lines: Sequence[str], queue_id: str) -> HopEvents:
    """The way of the message that is `queue_id` at incoming."""
    events = [parse_line(line, _ANY_TIME) for line in lines]
    marks = [found[1] for one in events if one.queue_id == queue_id and (found := _MARK.match(one.text))]
    handed = _last_attempt(events, queue_id)
    delivery_id = (handed and handoff_id(handed)) or ""
    return HopEvents((marks or [""])[-1].strip(), _stat(handed), delivery_id, _stat(_last_attempt(events, delivery_id)))


def _last_attempt(events: Sequence[LogEvent], queue_id: str) -> LogEvent | None:
    found = (one for one in reversed(events) if one.kind is EventKind.DELIVERY and one.queue_id == queue_id)
    return next(found, None)


def _stat(event: LogEvent | None) -> str:
    return (event and event.get("stat")) or ""


def hop_findings(way: HopEvents) -> Iterator[Finding]:
    """One for each hop after incoming said 250."""
    if way.status:
        yield ok("clean message: miltscan", f"X-Virus-Status: {way.status}")
    else:
        text = "no line of the filter in the log; the refusal of the test signature shows whether it scans"
        yield ok("clean message: miltscan", text)
    if way.delivery_id:
        yield ok("clean message: handoff", f"stat={way.handed}")
        yield _delivered(way)
    else:
        text = f"stat={way.handed}" if way.handed else "nothing is logged: it waits in the queue of incoming"
        yield error("clean message: handoff", text, "see that the delivery sendmail runs; mailq -C incoming.cf")


def _delivered(way: HopEvents) -> Finding:
    subject, name = "clean message: delivery", f"{way.delivery_id}: "
    if way.delivered.startswith("Sent"):
        return ok(subject, f"{name}stat={way.delivered}")
    if not way.delivered:
        return warning(subject, f"{name}nothing is logged yet: it waits in the queue", "mailq -C delivery.cf")
    return error(subject, f"{name}stat={way.delivered}", "the reason stands in stat=; mailq -C delivery.cf")
