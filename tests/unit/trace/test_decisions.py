"""Traces of messages whose recipients have different decisions: the fate of each, from each of the names."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from miltscan.sandwich.logline import decisions_in, parse_line
from miltscan.trace.follow import Trace, find
from miltscan.trace.recipients import DeliveryStatus
from miltscan.trace.timeline import as_text

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HERE, THERE, COPY = "6AMG9F89004499", "6AMG9FSt004502", "6AMG9FSt004503"
REFUSED, KEPT = "01jdq4xk2m8v3n7w5rst", "01jdq4xk2m8v3n7w5rsv"
STAYS, TAGGED, NO, LATER, DROPPED, MOVED = (f"<{name}@example.test>" for name in ("s", "t", "n", "l", "d", "m"))


def decision(recipient: str, action: str, **fields: object) -> dict[str, Any]:
    """A decision for one recipient."""
    named: dict[str, Any] = {
        "recipients": [recipient],
        "recipients_count": 1,
        "rule": f"rule {action}",
        "action": action,
    }
    return named | {"area": None, "entry": None, "delivery": "", "refusal": ""} | fields


def scan(*decisions: dict[str, Any]) -> str:
    """Miltscan's line about the message."""
    fields: dict[str, Any] = {
        "timestamp": "2026-11-22T16:00:01.000+00:00",
        "level": "info",
        "event": "message",
        "queue_id": HERE,
    }
    everybody = [one for group in decisions for one in group["recipients"]]
    fields |= {"message_id": "<m@example.org>", "recipients": everybody, "recipients_count": len(everybody)}
    return json.dumps(fields | {"action": "accept", "rule": "clean", "entry": None, "decisions": decisions})


def received(queue_id: str, second: int) -> str:
    """A sendmail has the message."""
    text = f"{queue_id}: from=<s@example.org>, size=10, class=0, nrcpts=1, msgid=<m@example.org>, relay=x [192.0.2.7]"
    return f"Nov 22 16:00:0{second} mx sm-mta[7]: {text}"


def delivered(queue_id: str, recipient: str, stat: str, second: int) -> str:
    """An attempt."""
    text = f"{queue_id}: to={recipient}, delay=00:00:00, mailer=local, pri=30, relay=x, dsn=2.0.0, stat=Sent ({stat})"
    return f"Nov 22 16:00:0{second} mx sm-mta[7]: {text}"


OF_SENDMAIL = (
    received(HERE, 0),
    received(COPY, 1),
    delivered(COPY, TAGGED, "2.0.0 stored", 2),
    delivered(HERE, STAYS, f"{THERE} Message accepted for delivery", 2),
    received(THERE, 2),
    delivered(THERE, "<s>", "2.0.0 stored", 3),
)
OF_MILTSCAN = scan(
    decision(STAYS, "accept"),
    decision(TAGGED, "accept", delivery=COPY),
    decision(NO, "reject", area="refused", entry=REFUSED),
    decision(LATER, "quarantine", area="default", entry=KEPT),
    decision(DROPPED, "discard"),
    decision(MOVED, "redirect", delivery=COPY),
)
FATES = {
    "<s>": DeliveryStatus.DELIVERED,
    TAGGED: DeliveryStatus.DELIVERED,
    NO: DeliveryStatus.QUARANTINED,
    LATER: DeliveryStatus.QUARANTINED,
    DROPPED: DeliveryStatus.DISCARDED,
    MOVED: DeliveryStatus.REDIRECTED,
}


def traced(subject: str, *lines: str) -> Trace:
    """The only trace of the message in these lines."""

    def read(texts: Sequence[bytes]) -> Iterable[bytes]:
        return (line for line in map(str.encode, lines) if any(text in line for text in texts))

    (found,) = find(subject, read, NOW).traces
    return found


def results(trace: Trace) -> dict[str, DeliveryStatus]:
    """The status of each recipient."""
    return {one.address: one.status for one in trace.recipients}


@pytest.mark.parametrize("subject", [HERE, THERE, COPY, REFUSED, KEPT, "<m@example.org>"])
def test_the_fate_of_each(subject: str) -> None:
    """Whichever of its names is searched for: the path branches at miltscan's own line."""
    trace = traced(subject, *OF_SENDMAIL, OF_MILTSCAN)
    assert results(trace) == FATES
    assert (trace.status, {*trace.queue_ids}, trace.entry) == (
        DeliveryStatus.QUARANTINED,
        {HERE, THERE, COPY},
        REFUSED,
    )
    text = as_text(trace)
    assert f"for {TAGGED}: accept, by rule rule accept; copy handed over as {COPY}" in text
    assert f"for {NO}: reject, by rule rule reject; in the quarantine: area refused, entry {REFUSED}" in text
    assert f"  {MOVED}  redirected:" in text
    assert f"  {LATER}  in the quarantine: {KEPT} (0 attempts)" in text


def test_the_lines_of_the_copies_are_elsewhere() -> None:
    """Their recipients are handed over."""
    trace = traced(HERE, OF_SENDMAIL[0], OF_MILTSCAN)
    assert results(trace)[TAGGED] is DeliveryStatus.HANDED_OVER


def test_a_refused_copy_is_in_the_quarantine() -> None:
    """The reply of the delivery sendmail is shown."""
    refused = decision(TAGGED, "accept", area="refused", entry=REFUSED, refusal="550 5.1.1 User unknown")
    trace = traced(HERE, *OF_SENDMAIL, scan(decision(STAYS, "accept"), refused))
    assert results(trace) == {"<s>": DeliveryStatus.DELIVERED, TAGGED: DeliveryStatus.QUARANTINED}
    assert "copy not accepted: 550 5.1.1 User unknown; in the quarantine: area refused" in as_text(trace)


def test_one_entry_is_deleted() -> None:
    """The others stay as they are."""
    deleted = {"timestamp": "2026-11-22T17:00:00.000+00:00", "event": "entry_deleted", "queue_id": HERE}
    line = json.dumps(deleted | {"entry": REFUSED, "by": "root", "reason": ""})
    assert results(traced(HERE, *OF_SENDMAIL, OF_MILTSCAN, line)) == FATES | {NO: DeliveryStatus.DISCARDED}


@pytest.mark.parametrize("odd", ["text", 7, {"recipients": "all"}, [7, None, {}], {}, [{"delivery": "; rm -rf /"}]])
def test_a_line_that_was_changed_harms_nothing(odd: object) -> None:
    """Any field may have another type."""
    line = json.dumps(json.loads(OF_MILTSCAN) | {"decisions": odd})
    assert all(one.get("event") == "decision" for one in decisions_in(parse_line(line, NOW)))
    trace = traced(HERE, *OF_SENDMAIL[:1], OF_SENDMAIL[3], line)
    assert results(trace) == {STAYS: DeliveryStatus.HANDED_OVER}
    assert as_text(trace)
