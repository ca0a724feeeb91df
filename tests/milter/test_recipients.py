"""Recipients with different decisions behind the milter: the negotiation, the edits of the envelope, and the faults."""

import signal
from collections.abc import Iterator
from functools import partial

import pytest

from miltscan.quarantine.files import Files
from tests.fakes.delivery import FakeDelivery, fake_delivery
from tests.fakes.milter_wire import Actions, Code, Options, Protocol, Stage
from tests.fakes.mta import MTA, Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

A, B, C = b"<a@example.test>", b"<b@example.test>", b"<c@example.test>"
REFUSED = {"name": "refused", "when": {"recipient": "b@example.test", "size_from": "1B"}, "action": "reject"}
TAGGED = {"name": "tagged", "when": {"recipient": "c@example.test"}, "action": "accept", "add_headers": {"X-Tag": "c"}}
OF_RECIPIENTS = (b"{rcpt_mailer}", b"{rcpt_host}", b"{rcpt_addr}")
EDITS = {Code.DELETE_RECIPIENT, Code.ADD_RECIPIENT, Code.ADD_RECIPIENT_ARGS}
OFFERED = Actions.ADDRCPT | Actions.DELRCPT | Actions.ADDRCPT_PAR


@pytest.fixture(scope="module")
def delivery() -> Iterator[FakeDelivery]:
    """A delivery sendmail for copies."""
    with fake_delivery() as server:
        yield server


@pytest.fixture
def daemon(shared: Fleet, delivery: FakeDelivery) -> Daemon:
    """A service that refuses one recipient, and tags the mail of another one."""
    delivery.refusals, delivery.reply, delivery.replies = {}, "250 2.0.0 6AMG4FiU000001 Message accepted", {}
    delivery.messages.clear()
    return shared(rule=[REFUSED, TAGGED], delivery__server=f"inet:{delivery.port}@127.0.0.1")


def areas(daemon: Daemon) -> list[tuple[str, tuple[bytes, ...]]]:
    """The areas and the recipients of all entries."""
    files = Files(daemon.folder / "quarantine")
    ids = {path.stem for path in files.directory.rglob("*.entry")}
    return [(one.area, one.recipients) for one in (files.read(entry).entry for entry in sorted(ids))]


def edits(mta: MTA, *recipients: bytes) -> list[tuple[Code, bytes]]:
    """The edits of the envelope that the MTA is asked for."""
    log = mta.send_message(Message(recipients=recipients)).log
    return [(one.code, one.payload.rstrip(b"\0")) for one in log if one.code in EDITS]


@pytest.mark.parametrize(("mode", "waits"), [("each", False), ("strictest", False), ("split-at-rcpt", True)])
def test_what_is_negotiated(shared: Fleet, mode: str, *, waits: bool) -> None:
    """The edits always; the macros only with rules for recipients, and answers to RCPT only in one mode."""
    with shared(policy__recipients=mode).mta() as mta:
        assert mta.options.actions & OFFERED == OFFERED
        assert (Stage.RCPT in mta.options.macros, Protocol.NR_RCPT in mta.options.protocol) == (False, True)
    with shared(policy__recipients=mode, rule=[REFUSED]).mta() as mta:
        assert mta.options.actions & OFFERED == OFFERED
        assert mta.options.macros[Stage.RCPT] == OF_RECIPIENTS
        assert (Protocol.NR_RCPT in mta.options.protocol) is not waits


def test_a_refused_recipient_is_removed(daemon: Daemon) -> None:
    """Before that its mail is stored; the other one has a mailbox of its own, and stays as it is."""
    before = len(areas(daemon))
    with daemon.mta() as mta:
        found = edits(mta, A, B)
    assert found == [(Code.DELETE_RECIPIENT, B)]
    assert areas(daemon)[before:] == [("refused", (B,))]


@pytest.mark.parametrize("without", [b"{rcpt_addr}", b"{rcpt_mailer}"])
def test_an_mta_that_names_no_target(daemon: Daemon, without: bytes) -> None:
    """Where it is unknown who shares a mailbox, all who are kept are added again."""
    with daemon.mta() as mta:
        mta.without.add(without)
        found = edits(mta, A, B)
    added = [(Code.ADD_RECIPIENT, A)] if without == b"{rcpt_addr}" else []
    assert found == [(Code.DELETE_RECIPIENT, B), *added]


@pytest.mark.parametrize("missing", [Actions.ADDRCPT, Actions.DELRCPT, OFFERED])
def test_an_mta_that_edits_no_recipients(daemon: Daemon, missing: Actions) -> None:
    """The strictest decision applies to all: nobody receives what is refused to another."""
    before = len(areas(daemon))
    with daemon.mta(offer=Options(actions=Actions.ALL & ~missing)) as mta:
        result = mta.send_message(Message(recipients=(A, B)))
        assert result.reply.smtp.startswith(b"550 5.7.1 ")
        assert mta.send_message(Message(recipients=(A, C))).accepted
    assert areas(daemon)[before:] == []


def test_a_copy_that_fails_is_a_tempfail(daemon: Daemon, delivery: FakeDelivery) -> None:
    """The log says why, and the failure is counted; the next attempt of the client succeeds."""
    delivery.refusals = {C.decode(): "451 4.3.0 queue is full"}
    message = Message(recipients=(A, C), queue_id=b"FAILS")
    with daemon.mta() as mta:
        reply = mta.send_message(message).reply
        assert reply.smtp == b"451 4.3.0 Message could not be handed over, try again later (FAILS)"
        delivery.refusals = {}
        assert mta.send_message(message).recipients == (A,)
    assert [one.recipients for one in delivery.messages] == [[C.decode()]]
    (problem,) = daemon.logged("copy_fails", queue_id="FAILS")
    assert problem["why"] == "copies: 451 4.3.0 queue is full"
    daemon.wait_metric("copies_total", 1, result="failed")
    daemon.wait_metric("copies_total", 1, result="accepted")


def test_a_refused_copy_is_kept(daemon: Daemon, delivery: FakeDelivery) -> None:
    """The others are not affected; the line has the reply."""
    delivery.refusals = {C.decode(): "550 5.1.1 User unknown"}
    before = len(areas(daemon))
    with daemon.mta() as mta:
        assert mta.send_message(Message(recipients=(A, C), queue_id=b"KEPT", body=b"another message")).recipients == (
            A,
        )
    assert areas(daemon)[before:] == [("refused", (C,))]
    (decision,) = [one for one in daemon.line_of("KEPT")["decisions"] if one["rule"] == "tagged"]
    assert (decision["area"], decision["refusal"]) == ("refused", "550 5.1.1 User unknown")
    daemon.wait_metric("copies_total", 1, result="refused")


def test_a_reload_in_an_open_connection(own: Fleet) -> None:
    """Rules for recipients come with a reload: a connection without their macros is answered correctly, too."""
    daemon = own()
    daemon.start()
    daemon.wait_ready()
    with daemon.mta() as mta:
        assert edits(mta, A, B) == []
        daemon.write(rule=[REFUSED])
        daemon.running.signal(signal.SIGHUP)
        found = wait_until(lambda: edits(mta, A, B), PATIENCE, "the rule in force")
    assert found == [(Code.DELETE_RECIPIENT, B)]
    assert areas(daemon) == [("refused", (B,))]


def test_a_reload_in_a_connection_that_edits_no_recipients(own: Fleet) -> None:
    """The strictest decision of the new rules applies to all; without them the next message is accepted for all."""
    daemon = own()
    daemon.start()
    daemon.wait_ready()
    with daemon.mta(offer=Options(actions=Actions.ALL & ~Actions.DELRCPT)) as mta:

        def replies(expected: bytes) -> bool:
            return mta.send_message(Message(recipients=(A, B))).reply.smtp.startswith(expected)

        assert replies(b"250 ")
        for settings, expected in (({"rule": [REFUSED]}, b"550 5.7.1 "), ({}, b"250 ")):
            daemon.write(**settings)
            daemon.running.signal(signal.SIGHUP)
            wait_until(partial(replies, expected), PATIENCE, "the rules in force")
    assert areas(daemon) == []
