"""Traces of messages in the quarantine: kept, released, refused and deleted, from each of their names."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from miltscan.trace.follow import Trace, find
from miltscan.trace.recipients import DeliveryStatus
from miltscan.trace.timeline import as_text, trace_fields

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ENTRY, HERE, THERE = "01jdq4xk2m8v3n7w5rst", "6AMG9F89004499", "6AMG9FSt004502"
A, B = "<a@example.test>", "<b@example.test>"
ENVELOPE = f"{HERE}: from=<s@example.org>, size=10, class=0, nrcpts=2, msgid=<m@example.org>, relay=client [192.0.2.7]"
DISCARDED = f"{HERE}: Milter: data, discard"
DELIVERY = (
    f"{THERE}: from=<s@example.org>, size=10, class=0, nrcpts=1, msgid=<m@example.org>, relay=localhost",
    f"{THERE}: to=<a>, delay=00:00:00, mailer=local, pri=30, relay=[127.0.0.1], dsn=2.0.0, stat=Sent (2.0.0 stored)",
)


def line(event: str, second: int = 1, **fields: object) -> str:
    """A line of miltscan about the entry."""
    named = {"timestamp": f"2026-11-22T16:00:{second:02}.000+00:00", "level": "info", "event": event}
    return json.dumps(named | {"queue_id": HERE, "entry": ENTRY, "recipients_count": 1} | fields)


def kept(**fields: object) -> str:
    """Miltscan's line about a message that is kept."""
    named: dict[str, Any] = {"message_id": "<m@example.org>", "action": "quarantine", "area": "default"}
    return line("message", **(named | {"recipients": [A, B], "recipients_count": 2} | fields))


def released(second: int = 5, recipients: Sequence[str] = (A,), delivery: str = THERE) -> str:
    """The line of a release."""
    made = {"recipients": recipients, "recipients_count": len(recipients), "delivery": delivery}
    return line("released", second, **made, by="root", reply="250 2.0.0 ok")


def failed(second: int = 4, recipients: Sequence[str] = (B,)) -> str:
    """The line of a release that the server refused."""
    return line("release_failed", second, recipients=recipients, by="root", reply="550 5.1.1 User unknown")


def deleted(second: int = 9) -> str:
    """The line of the end."""
    return line("entry_deleted", second, by="keeper", reason="expired")


def traced(subject: str, *lines: str) -> Trace:
    """The only trace of the message in these lines."""
    dated = [f"Nov 22 16:00:0{5 if THERE in one else 0} mx sm-mta[7]: {one}".encode() for one in lines]

    def read(texts: Sequence[bytes]) -> Iterable[bytes]:
        return (one for one in dated if any(text in one for text in texts))

    (found,) = find(subject, read, NOW).traces
    return found


def results(trace: Trace) -> dict[str, DeliveryStatus]:
    """The status of each recipient."""
    return {one.address: one.status for one in trace.recipients}


@pytest.mark.parametrize("subject", [ENTRY, HERE, "<m@example.org>", "m@example.org"])
def test_kept(subject: str) -> None:
    """A message without a release is in the quarantine, whichever of its names is searched for."""
    trace = traced(subject, ENVELOPE, DISCARDED, kept())
    assert results(trace) == {A: DeliveryStatus.QUARANTINED, B: DeliveryStatus.QUARANTINED}
    assert (trace.status, trace.queue_ids, trace.entry) == (DeliveryStatus.QUARANTINED, (HERE,), ENTRY)
    text = as_text(trace)
    assert text.startswith(f"Message <m@example.org>: in the quarantine, entry {ENTRY}\n")
    assert f"in the quarantine: area default, entry {ENTRY}" in text
    assert f"  {A}  in the quarantine: {ENTRY} (0 attempts)" in text


@pytest.mark.parametrize("subject", [ENTRY, HERE, THERE, "<m@example.org>"])
def test_released_for_one_and_refused_for_the_other(subject: str) -> None:
    """The path goes on at the delivery sendmail; the refused recipient stays in the quarantine with the reply."""
    trace = traced(subject, ENVELOPE, DISCARDED, kept(), failed(), *DELIVERY, released())
    assert trace.queue_ids == (HERE, THERE)
    assert results(trace) == {B: DeliveryStatus.QUARANTINED, "<a>": DeliveryStatus.DELIVERED}
    assert trace.status is DeliveryStatus.QUARANTINED
    text = as_text(trace)
    assert f"releases entry {ENTRY} to {A}: handed over as {THERE}" in text
    assert f"  {B}  in the quarantine: 550 5.1.1 User unknown (1 attempt)" in text
    assert trace.is_by_time


def test_released_for_all() -> None:
    """A later release of the second recipient makes the message delivered, and a deletion changes nothing then."""
    both = (ENVELOPE, DISCARDED, kept(), failed(), *DELIVERY, released(recipients=[A, B]), deleted())
    trace = traced(ENTRY, *both)
    assert results(trace) == {"<a>": DeliveryStatus.DELIVERED}
    assert trace.status is DeliveryStatus.DELIVERED
    assert as_text(trace).splitlines()[0] == f"Message <m@example.org>: delivered, entry {ENTRY}"


def test_the_delivery_side_is_on_another_host() -> None:
    """Without the lines of the delivery sendmail a released message is handed over."""
    trace = traced(HERE, ENVELOPE, DISCARDED, kept(), released(recipients=[A, B]))
    assert set(results(trace).values()) == {DeliveryStatus.HANDED_OVER}
    assert trace.queue_ids == (HERE, THERE)


def test_deleted() -> None:
    """A deletion ends what was still in the quarantine, and nothing else."""
    trace = traced(ENTRY, ENVELOPE, DISCARDED, kept(), *DELIVERY, released(), deleted())
    assert results(trace) == {B: DeliveryStatus.DISCARDED, "<a>": DeliveryStatus.DELIVERED}
    assert f"deletes entry {ENTRY}" in as_text(trace)
    assert "by keeper, reason expired" in as_text(trace)


def test_kept_at_the_delivery_side() -> None:
    """A message that only the delivery side's scan keeps is in the quarantine, and not handed over."""
    handoff = (
        f"{HERE}: to={A}, delay=00:00:00, mailer=local, dsn=2.0.0, stat=Sent ({THERE} Message accepted for delivery)"
    )
    scan = json.dumps(json.loads(kept(recipients=["<a>"], recipients_count=1)) | {"queue_id": THERE})
    trace = traced(HERE, ENVELOPE, handoff, DELIVERY[0], scan)
    assert results(trace) == {"<a>": DeliveryStatus.QUARANTINED}
    assert (trace.queue_ids, trace.entry) == ((HERE, THERE), ENTRY)


def test_a_copy_of_a_discarded_message() -> None:
    """Where only a copy is kept, the message is discarded until it is released."""
    assert traced(ENTRY, ENVELOPE, kept(action="discard")).status is DeliveryStatus.DISCARDED
    trace = traced(ENTRY, ENVELOPE, kept(action="discard"), *DELIVERY, released(recipients=[A, B]))
    assert trace.status is DeliveryStatus.DELIVERED


def test_more_recipients_than_a_line_names() -> None:
    """A line names the first recipients: a message is not delivered while others may still wait."""
    many = kept(recipients=[A], recipients_count=3)
    assert traced(ENTRY, ENVELOPE, many, *DELIVERY, released()).status is DeliveryStatus.UNKNOWN
    rest = line("released", 6, recipients=[A], recipients_count=3, delivery=THERE)
    assert traced(ENTRY, ENVELOPE, many, *DELIVERY, rest).status is DeliveryStatus.DELIVERED


def test_a_release_to_a_queue_id_of_another_message() -> None:
    """What a server calls a queue ID is followed only to the same message."""
    other = DELIVERY[0].replace("<m@example.org>", "<other@example.org>")
    trace = traced(ENTRY, ENVELOPE, kept(), other, released(recipients=[A, B]))
    assert trace.queue_ids == (HERE,)
    assert traced(ENTRY, ENVELOPE, kept(), released(delivery="; rm -rf /")).queue_ids == (HERE,)


def test_fields() -> None:
    """`--json` has the entry, and the lines of the quarantine as a kind of their own."""
    fields = json.loads(json.dumps(trace_fields(traced(ENTRY, ENVELOPE, kept(), *DELIVERY, released()))))
    assert (fields["entry"], fields["status"]) == (ENTRY, "in the quarantine")
    kinds = {event["fields"].get("event"): (event["kind"], event["handed_over_as"]) for event in fields["events"]}
    assert kinds["released"] == ("quarantine", THERE)
    assert kinds["message"] == ("scan", None)
