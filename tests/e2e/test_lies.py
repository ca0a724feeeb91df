"""A clamd that lies, or fails in every way that one can: a message is never accepted as if it had been scanned."""

from collections.abc import Iterator

import pytest

from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import FAULTS, always_ok, honest, unless_canary
from tests.harness.client import new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.sandwich import private_folder

QUICK: Tables = {"clamd": {"canary_interval": "3s"}, "milter": {"workers": 1}}
Pair = tuple[ScanningSandwich, FakeClamd]


@pytest.fixture(scope="module", params=["unix", "tcp"])
def liar(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A sandwich with a fake clamd."""
    with private_folder() as folder:
        fake = FakeClamd.unix(folder / "fake.ctl") if request.param == "unix" else FakeClamd.tcp()
        with fake, ScanningSandwich(folder, QUICK, [fake.address]) as sandwich:
            yield sandwich, fake


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_a_tempfail(liar: Pair, fault: str) -> None:
    """A clamd that passes its self-test and fails at mail costs a 451; honest again, it gets the next message."""
    sandwich, fake = liar
    fake.behaviour = unless_canary(FAULTS[fault])
    reply = sandwich.send(text_message(new_message_id()))
    fake.behaviour = honest
    assert reply.code in {451, 550}, reply
    assert "not scanned" in reply.text
    assert sandwich.retry(text_message(new_message_id())).code == 250


def test_ok_to_everything_is_a_tempfail(liar: Pair) -> None:
    """A clamd that finds nothing at all fails its self-test."""
    sandwich, fake = liar
    fake.behaviour = always_ok
    sandwich.miltscan.wait_for_engines(0)
    reply = sandwich.send(text_message(new_message_id()))
    fake.behaviour = honest
    assert reply.code == 451
    assert sandwich.retry(text_message(new_message_id())).code == 250


def test_what_policy_accepts_is_marked(liar: Pair) -> None:
    """Where the policy accepts what could not be scanned, each such message is marked."""
    sandwich, fake = liar
    sandwich.run_with({**QUICK, "policy": {"on_error": "accept"}, "policy.on_unscanned": {"limits": "accept"}})
    for fault in FAULTS.values():
        message_id = new_message_id()
        fake.behaviour = unless_canary(fault)
        assert sandwich.send(text_message(message_id)).code == 250
        assert sandwich.mailbox.wait_for(message_id).message["X-Virus-Status"].startswith("Unscanned (")
    fake.behaviour = honest
