"""Debian's Postfix in place of the two sendmails, with the settings of deploy/postfix."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness import client, messages
from tests.harness.clamav import Clamd
from tests.harness.mailbox import Mailbox
from tests.harness.miltscan import Miltscan
from tests.harness.postfix import Postfix
from tests.harness.processes import PATIENCE, Programs, wait_until
from tests.harness.programs import CHECKOUT
from tests.harness.sandwich import private_folder


@dataclass(frozen=True, slots=True)
class Filtered:
    """A Postfix that asks a miltscan, and the mailbox to which it relays."""

    postfix: Postfix
    miltscan: Miltscan
    mailbox: Mailbox


@pytest.fixture
def filtered(clamd: Clamd) -> Iterator[Filtered]:
    """A running one; only the group of the socket and the paths differ from those of a host."""
    tables = tomllib.loads((CHECKOUT / "deploy" / "postfix" / "miltscan.toml").read_text())
    with private_folder() as folder, Programs(folder) as programs:
        mailbox = Mailbox.start(programs)
        mailbox.wait_ready()
        postfix = Postfix(programs, mailbox.port)
        postfix.start()
        postfix.wait_ready()
        milter = {"milter": {"socket_group": postfix.owner}}
        miltscan = Miltscan(programs, postfix.socket, [f"unix:{clamd.socket}"], {**tables, **milter})
        miltscan.start()
        miltscan.wait_ready()
        wait_until(lambda: miltscan.ready, PATIENCE, "an engine that is up")
        yield Filtered(postfix, miltscan, mailbox)


def test_postfix_asks_miltscan(filtered: Filtered) -> None:
    """A clean message is accepted and marked, the EICAR test file is refused, and both have a log line."""
    clean = messages.message("Through Postfix")
    reply = client.send(filtered.postfix.port, messages.as_wire(clean))
    assert reply.code == 250, filtered.postfix.log
    delivered = filtered.mailbox.wait_for(str(clean["Message-ID"]))
    assert delivered.message["X-Virus-Status"] == "Clean"
    infected = client.send(filtered.postfix.port, messages.as_wire(messages.infected()))
    assert (infected.code, "virus found" in infected.text.lower()) == (550, True)
    queue_id = filtered.miltscan.wait_for_message(outcome="clean")["queue_id"]
    assert f"{queue_id}: removed" in wait_until(
        lambda: log if f"{queue_id}: removed" in (log := filtered.postfix.log) else None, PATIENCE, "the delivery"
    )
    assert len(filtered.mailbox.messages()) == 1


def test_mail_waits_while_miltscan_is_down(filtered: Filtered) -> None:
    """Without its filter Postfix gives a temporary failure: no message passes unscanned."""
    filtered.miltscan.stop()
    reply = client.send(filtered.postfix.port, messages.as_wire(messages.message("Not scanned")))
    assert 400 <= reply.code < 500
    assert filtered.mailbox.messages() == []


def test_a_release_is_not_scanned_again(filtered: Filtered) -> None:
    """The port of deploy/postfix/master.cf passes on what the quarantine sends, which the other port refuses."""
    mail = messages.infected()
    reply = client.send(filtered.postfix.release_port, messages.as_wire(mail))
    assert reply.code == 250, filtered.postfix.log
    assert filtered.mailbox.wait_for(str(mail["Message-ID"])).message["X-Virus-Status"] is None
