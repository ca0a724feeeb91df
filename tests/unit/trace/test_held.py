"""Traces of messages that sendmail holds: held, released with and without success, deleted."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pytest

from miltscan.trace.follow import Trace, find
from miltscan.trace.recipients import DeliveryStatus
from miltscan.trace.timeline import as_text

HERE, THERE = "6AT0u0tZ006805", "6AT12cpW005712"
HELD = [
    f"{HERE}: from=<s@example.org>, size=10, class=0, nrcpts=2, msgid=<m@example.org>, relay=client [192.0.2.7]",
    f"{HERE}: milter=miltscan, quarantine=miltscan: Infected (Eicar)",
    *(
        f"{HERE}: to=<{name}@example.test>, delay=00:00:00, mailer=local, pri=60132,"
        " quarantine=miltscan: Infected (Eicar), stat=quarantined"
        for name in "ab"
    ),
]
FAILED = (
    f"{HERE}: to=<a@example.test>,<b@example.test>, delay=00:00:09, mailer=local, pri=150132, relay=[127.0.0.1],"
    " dsn=4.4.1, stat=Deferred: Connection refused by [127.0.0.1]"
)
SENT = (
    f"{HERE}: to=<a@example.test>, delay=00:01:00, mailer=local, pri=240132, relay=[127.0.0.1], dsn=2.0.0,"
    f" stat=Sent ({THERE} Message accepted for delivery)"
)
DELIVERED = [
    f"{THERE}: from=<s@example.org>, size=10, class=0, nrcpts=1, msgid=<m@example.org>, relay=localhost",
    f"{THERE}: to=<a>, delay=00:00:00, mailer=local, pri=30, relay=[127.0.0.1], dsn=2.0.0, stat=Sent (2.0.0 stored)",
]


def ours(event: str) -> str:
    """The line of `miltscan hold`."""
    named = {"timestamp": "2026-11-29T00:58:00.000+00:00", "level": "info", "event": event, "queue_id": HERE}
    return json.dumps(named | {"sender": "<s@example.org>", "reason": "miltscan: Infected (Eicar)", "by": "ann"})


def traced(*lines: str) -> Trace:
    """The only trace of the message in these lines."""
    dated = [f"Nov 29 00:56:{second:02} mx sm-mta[7]: {one}".encode() for second, one in enumerate(lines)]

    def read(texts: Sequence[bytes]) -> Iterable[bytes]:
        return (one for one in dated if any(text in one for text in texts))

    (found,) = find(HERE, read, datetime(2026, 11, 30, tzinfo=UTC)).traces
    return found


@pytest.mark.parametrize(
    ("lines", "status", "recipients"),
    [
        ([], "held", {"<a@example.test>": "held", "<b@example.test>": "held"}),
        ([FAILED], "held", {"<a@example.test>": "held", "<b@example.test>": "held"}),
        ([FAILED, SENT, *DELIVERED], "held", {"<a>": "delivered", "<b@example.test>": "held"}),
        (
            [f"{HERE}: unquarantine", FAILED],
            "deferred",
            {"<a@example.test>": "deferred", "<b@example.test>": "deferred"},
        ),
        ([ours("held_deleted")], "discarded", {"<a@example.test>": "discarded", "<b@example.test>": "discarded"}),
        (
            [FAILED, SENT, *DELIVERED, ours("held_released"), ours("held_deleted")],
            "discarded",
            {"<a>": "delivered", "<b@example.test>": "discarded"},
        ),
    ],
)
def test_the_status_of_each_recipient(lines: list[str], status: str, recipients: dict[str, str]) -> None:
    """A deletion is final for those who have not received the message; who has received it, has it."""
    trace = traced(*HELD, *lines)
    assert {one.address: one.status for one in trace.recipients} == recipients
    assert trace.status is DeliveryStatus(status)


def test_what_an_administrator_did_is_shown() -> None:
    """With the login name."""
    text = as_text(traced(*HELD, SENT, *DELIVERED, ours("held_released"), ours("held_deleted")))
    assert "the held message was released\n" in text
    assert "the held message was deleted\n" in text
    assert text.count("by ann, reason miltscan: Infected (Eicar)") == 2
