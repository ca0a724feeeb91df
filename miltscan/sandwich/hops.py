"""What sendmail's log says of one message on its way through both sendmails. From lines to findings; it reads nothing.

The lines are those of sendmail 8.14 to 8.18 at LogLevel 9: `QUEUE_ID: to=..., dsn=2.0.0, stat=Sent (... )`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from miltscan.core.finding import Finding, error, good, warning

_NEXT = re.compile(r"Sent \((?:\d\.\d\.\d )?(\S+) Message accepted for delivery\)")


@dataclass(frozen=True, slots=True)
class Way:
    """How far a message got: what each hop logged, empty where it has said nothing (yet)."""

    status: str  # what the filter called it (X-Virus-Status)
    handed: str  # stat= at incoming
    delivery_id: str
    delivered: str  # stat= at delivery

    @property
    def over(self) -> bool:
        """Whether nothing more is to be awaited."""
        return bool(self.delivered) or (bool(self.handed) and not self.delivery_id)


def follow(lines: Sequence[str], queue_id: str) -> Way:
    """The way of the message that is `queue_id` at incoming."""
    handed = _last(lines, rf"\b{queue_id}: to=.*?\bstat=(.*)")
    delivery_id = found[1] if (found := _NEXT.match(handed)) else ""
    return Way(
        _last(lines, rf"\b{queue_id}: Milter.*X-Virus-Status: *(.*)"),
        handed,
        delivery_id,
        _last(lines, rf"\b{re.escape(delivery_id)}: to=.*?\bstat=(.*)") if delivery_id else "",
    )


def _last(lines: Sequence[str], pattern: str) -> str:
    found = (match for line in reversed(lines) if (match := re.search(pattern, line)))
    return match[1].strip() if (match := next(found, None)) else ""


def way_findings(way: Way) -> Iterator[Finding]:
    """One for each hop after incoming said 250."""
    if way.status:
        yield good("clean message: miltscan", f"X-Virus-Status: {way.status}")
    else:
        text = "no line of the filter in the log; the refusal of the test signature shows whether it scans"
        yield good("clean message: miltscan", text)
    if way.delivery_id:
        yield good("clean message: handoff", f"stat={way.handed}")
        yield _delivered(way)
    else:
        text = f"stat={way.handed}" if way.handed else "nothing is logged: it waits in the queue of incoming"
        yield error("clean message: handoff", text, "see that the delivery sendmail runs; mailq -C incoming.cf")


def _delivered(way: Way) -> Finding:
    subject, name = "clean message: delivery", f"{way.delivery_id}: "
    if way.delivered.startswith("Sent"):
        return good(subject, f"{name}stat={way.delivered}")
    if not way.delivered:
        return warning(subject, f"{name}nothing is logged yet: it waits in the queue", "mailq -C delivery.cf")
    return error(subject, f"{name}stat={way.delivered}", "the reason stands in stat=; mailq -C delivery.cf")
