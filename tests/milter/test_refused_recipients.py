"""Recipients that a rule refuses at RCPT, through the real service and a fake MTA."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Code, Options, Protocol
from tests.fakes.mta import MTA, Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

A, B = b"<a@example.test>", b"<b@example.test>"
RULES: list[dict[str, Any]] = [
    {"name": "seen", "when": {"recipient": "@example.test"}, "action": "reject", "enforce": False},
    {"name": "not b", "when": {"recipient": "b@example.test"}, "action": "reject", "text": "No mail 100% {recipient}"},
    {"name": "later", "when": {"recipient": "@later.test"}, "action": "tempfail"},
    {"name": "not probes", "when": {"recipient": "miltscan-probe@localhost"}, "action": "reject"},
]
LOGGED = ("client_address", "sender", "recipient", "direction", "rule", "reply")


@pytest.fixture
def ruled(shared: Fleet) -> Daemon:
    """A service with these rules."""
    return shared(rule=RULES)


def test_a_recipient_is_refused_alone(ruled: Daemon) -> None:
    """The others receive the message; there is a line for each refused one, and the rule is counted."""
    before = {name: ruled.metric("rule_matches_total", rule=name) for name in ("not b", "later", "seen")}
    with ruled.mta() as mta:
        result = mta.send_message(Message(recipients=(A, B, b"<c@later.test>"), queue_id=b"ALONE"))
    assert result.accepted
    assert result.refused == (b"b@example.test", b"c@later.test")
    replies = [reply.smtp for reply in result.log if reply.code is Code.REPLYCODE]
    assert replies[0] == b"550 5.7.1 No mail 100%% <b@example.test> (ALONE)"  # the MTA makes one % of two
    assert replies[1].startswith(b"451 4.7.1 Message not accepted here [later], try again later (ALONE)")
    assert ruled.line_of("ALONE")["recipients"] == ["<a@example.test>"]
    first, second = ruled.logged("recipient_refused", queue_id="ALONE")
    assert {name: first[name] for name in (*LOGGED, "observed", "facts")} == {
        "client_address": "192.0.2.1",
        "sender": "<alice@example.org>",
        "recipient": "<b@example.test>",
        "direction": "internal",
        "rule": "not b",
        "reply": "550 5.7.1 No mail 100% <b@example.test> (ALONE)",
        "observed": ["seen"],
        "facts": [],
    }
    assert second["rule"] == "later"
    ruled.wait_metric("rule_matches_total", before["not b"] + 1, rule="not b")
    ruled.wait_metric("rule_matches_total", before["later"] + 1, rule="later")
    ruled.wait_metric("rule_matches_total", before["seen"] + 2, rule="seen")


def test_nobody_is_left(ruled: Daemon) -> None:
    """The transaction ends without a message, and the next one of the session is decided by itself."""
    with ruled.mta() as mta:
        assert mta.send_message(Message(recipients=(B,), queue_id=b"NOBODY")).refused == (b"b@example.test",)
        assert mta.send_message(Message(recipients=(A,))).accepted
        assert mta.send_message(Message(recipients=(A,), body=EICAR + b"\r\n")).reply.smtp.startswith(
            b"550 5.7.1 Virus"
        )
    assert ruled.logged("message", queue_id="NOBODY") == []


def test_no_rule_answers_for_the_recipient_of_probes(ruled: Daemon) -> None:
    """The rule decides at the end of the message instead."""
    result = ruled.send(Message(recipients=(b"<miltscan-probe@LOCALHOST>",), queue_id=b"PROBED"))
    assert (result.refused, result.accepted) == ((), False)
    assert ruled.line_of("PROBED")["rule"] == "not probes"


def test_an_address_of_any_bytes(ruled: Daemon) -> None:
    """It is refused, and its reply is printable."""
    with ruled.mta() as mta:
        assert mta.send_message(Message(recipients=(A, b"<\xff\xfe@later.test>"), queue_id=b"ODDRCPT")).accepted
    (line,) = ruled.logged("recipient_refused", queue_id="ODDRCPT")
    assert line["recipient"] == "<\\xff\\xfe@later.test>"


def test_replies_are_negotiated_only_for_rules_that_need_them(shared: Fleet) -> None:
    """Each costs a round trip."""
    for rules, needed in (({"rule": RULES}, True), ({}, False)):
        with shared(**rules).mta() as mta:
            assert (Protocol.NR_RCPT not in mta.options.protocol) is needed


def test_an_old_mta_waits_for_a_reply_anyhow(ruled: Daemon) -> None:
    """So its recipients are refused like others."""
    offer = Options(protocol=Protocol.ALL & ~Protocol(0x0FF080))
    with ruled.mta(offer=offer) as mta:
        assert mta.send_message(Message(recipients=(A, B))).refused == (b"b@example.test",)


@pytest.fixture
def reloaded(own: Fleet) -> Iterator[Daemon]:
    """A service without rules."""
    service = own()
    service.start()
    service.wait_ready()
    yield service
    service.stop()


def in_force(daemon: Daemon, **settings: object) -> None:
    """Reload with these settings."""
    before = len(daemon.logged("reload"))
    daemon.write(**settings)
    daemon.running.signal(signal.SIGHUP)
    wait_until(lambda: len(daemon.logged("reload")) > before, PATIENCE, "the reload")


def refused(mta: MTA) -> tuple[tuple[bytes, ...], bytes]:
    """The recipients refused at RCPT, and the answer at the end."""
    result = mta.send_message(Message(recipients=(B,)))
    return result.refused, result.reply.smtp[:3]


def test_a_reload_between_two_messages_of_a_connection(reloaded: Daemon) -> None:
    """Rules of now decide; a connection that was negotiated without replies to RCPT has the answer at the end."""
    with reloaded.mta() as old:
        assert refused(old) == ((), b"250")
        in_force(reloaded, rule=RULES)
        wait_until(lambda: refused(old) == ((), b"550"), PATIENCE, "the new rules in the worker")
        with reloaded.mta() as new:
            assert refused(new) == ((b"b@example.test",), b"550")
            in_force(reloaded)
            wait_until(lambda: refused(new) == ((), b"250"), PATIENCE, "no rules in the worker")
        assert refused(old) == ((), b"250")
