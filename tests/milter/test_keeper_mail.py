"""What the keeper of a running service sends: releases that nobody asks for, notices. Never twice without need."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from miltscan.core.verdict import Outcome
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.files import Files
from miltscan.quarantine.store import Store
from tests.fakes.delivery import FakeDelivery, fake_delivery
from tests.fakes.entries import ANN, BOB, put
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

HOLDER = """
import sys, time
from pathlib import Path
from miltscan.quarantine.files import Files
with Files(Path(sys.argv[1])).claim(sys.argv[2]) as claimed:
    print(claimed, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def delivery() -> Iterator[FakeDelivery]:
    """A delivery sendmail."""
    with fake_delivery() as fake:
        yield fake


def service(own: Fleet, delivery: FakeDelivery, **settings: object) -> Daemon:
    """A service that is not started, whose messages go to that delivery sendmail."""
    server = f"inet:{delivery.port}@127.0.0.1"
    return own(policy__on_infected="quarantine", delivery__server=server, delivery__timeout="5s", **settings)


def begin(daemon: Daemon) -> None:
    """Start it."""
    daemon.start()
    daemon.wait_ready()


def files(daemon: Daemon) -> Files:
    """The files of its quarantine."""
    return Files(daemon.folder / "quarantine")


def stored(daemon: Daemon, *events: Event, signatures: int = 27000) -> str:
    """An entry of just now, with what has happened to it; with new enough signatures it is not scanned again."""
    kept = files(daemon)
    entry_id = put(kept, time=time.time(), signatures=signatures).id
    for event in events:
        kept.record(entry_id, event)
    return entry_id


def cleared() -> Event:
    """A rescan that found nothing."""
    return Event(time.time(), "keeper", State.CLEARED, outcome=Outcome.CLEAN, signatures=27001)


def states(daemon: Daemon, entry_id: str) -> set[State]:
    """The states of the recipients."""
    return set(files(daemon).read(entry_id).states.values())


def wait_state(daemon: Daemon, entry_id: str, state: State) -> None:
    """Until all recipients of an entry have this state."""
    wait_until(lambda: states(daemon, entry_id) == {state}, PATIENCE, f"an entry that is {state}")


def test_what_is_cleared_leaves_an_area_that_wants_it(own: Fleet, delivery: FakeDelivery) -> None:
    """Once, with a line for the trace; an area without `release_clean` keeps it."""
    daemon = service(own, delivery, quarantine__area__open__release_clean=True)
    waiting = stored(daemon, cleared())
    entry_id = put(files(daemon), time=time.time(), area="open").id
    files(daemon).record(entry_id, cleared())
    begin(daemon)
    (line,) = daemon.wait_logged("released", entry=entry_id, by="keeper")
    assert (line["recipients_count"], line["area"], str(line["delivery"])[:8]) == (2, "open", "6AMG4FiU")
    wait_state(daemon, entry_id, State.RELEASED)
    (mail,) = delivery.messages
    assert mail.recipients == [ANN.decode(), BOB.decode()]
    assert f"X-Miltscan-Released: {entry_id}".encode() in mail.content
    daemon.wait_metric("quarantine_releases_total", 1, result="released")
    daemon.wait_metric("quarantine_cleared", 1)
    assert states(daemon, waiting) == {State.CLEARED}
    assert len(delivery.messages) == 1


def test_a_delivery_sendmail_that_is_down_is_tried_later(own: Fleet, delivery: FakeDelivery) -> None:
    """The entry stays cleared and shows why; there is a pause before the next attempt."""
    delivery.greeting = "421 4.3.2 go away"
    daemon = service(own, delivery, quarantine__area__default__release_clean=True)
    entry_id = stored(daemon, cleared())
    begin(daemon)
    daemon.wait_logged("release_failed", entry=entry_id, by="keeper")
    wait_state(daemon, entry_id, State.CLEARED)
    rounds = daemon.metric("keeper_last_round_timestamp_seconds")
    wait_until(lambda: daemon.metric("keeper_last_round_timestamp_seconds") > rounds + 5, PATIENCE, "more rounds")
    assert len(daemon.logged("release_failed")) == 1
    assert daemon.metric("quarantine_releases_total", result="tempfailed") == 1


def test_a_release_that_died_is_finished(own: Fleet, delivery: FakeDelivery) -> None:
    """Its process left the state `releasing` and a free lock: the message is sent again to those recipients only."""
    daemon = service(own, delivery)
    begun = Event(time.time(), "root", State.RELEASING, (BOB,), reason="known to be harmless")
    entry_id = stored(daemon, begun, signatures=99999)
    begin(daemon)
    (line,) = daemon.wait_logged("released", entry=entry_id)
    assert (line["by"], line["recipients"], line["reason"]) == ("keeper", [BOB.decode()], "known to be harmless")
    wait_until(lambda: states(daemon, entry_id) == {State.STORED, State.RELEASED}, PATIENCE, "one release")
    assert [mail.recipients for mail in delivery.messages] == [[BOB.decode()]]


@contextmanager
def claimed(daemon: Daemon, entry_id: str) -> Iterator[None]:
    """Another process releases the entry meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(daemon.folder / "quarantine"), entry_id], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_release_under_way_is_left_alone(own: Fleet, delivery: FakeDelivery) -> None:
    """Until its process ends without a result."""
    daemon = service(own, delivery)
    entry_id = stored(daemon, Event(time.time(), "root", State.RELEASING))
    with claimed(daemon, entry_id):
        begin(daemon)
        other = stored(daemon, Event(time.time(), "root", State.RELEASING))
        daemon.wait_logged("released", entry=other)
        wait_state(daemon, other, State.RELEASED)
        assert states(daemon, entry_id) == {State.RELEASING}
        assert len(delivery.messages) == 1
    daemon.wait_logged("released", entry=entry_id)


def test_a_release_that_cannot_be_finished_waits_again(own: Fleet, delivery: FakeDelivery) -> None:
    """Refused by the delivery sendmail: the entry is stored as before, with the reply."""
    delivery.refusals = {ANN.decode(): "550 5.1.1 unknown", BOB.decode(): "550 5.1.1 unknown"}
    daemon = service(own, delivery)
    entry_id = stored(daemon, Event(time.time(), "root", State.RELEASING), signatures=99999)
    begin(daemon)
    daemon.wait_logged("release_failed", entry=entry_id)
    wait_state(daemon, entry_id, State.STORED)
    with closing(Store(daemon.folder / "quarantine")) as store:
        store.refresh()
        assert "550 5.1.1" in store.rows()[0].reply
    daemon.wait_metric("quarantine_releases_total", 1, result="rejected")


def test_a_keeper_killed_at_the_final_dot_sends_again(own: Fleet, delivery: FakeDelivery) -> None:
    """Twice is better than never."""
    delivery.may_reply.clear()
    daemon = service(own, delivery, quarantine__area__default__release_clean=True)
    entry_id = stored(daemon, cleared())
    begin(daemon)
    assert delivery.at_dot.wait(PATIENCE)
    wait_until(daemon.keepers, PATIENCE, "the keeper")[0].kill()
    delivery.may_reply.set()
    daemon.wait_logged("released", entry=entry_id)
    wait_state(daemon, entry_id, State.RELEASED)
    assert len(delivery.messages) == 2


def test_a_stop_waits_for_a_release(own: Fleet, delivery: FakeDelivery) -> None:
    """For some seconds, so that a restart sends nothing twice."""
    delivery.may_reply.clear()
    daemon = service(own, delivery, quarantine__area__default__release_clean=True)
    entry_id = stored(daemon, cleared())
    begin(daemon)
    assert delivery.at_dot.wait(PATIENCE)
    os.kill(daemon.running.pid, 15)
    delivery.may_reply.set()
    assert daemon.ended() == 0
    assert states(daemon, entry_id) == {State.RELEASED}


def test_a_notice_is_sent(own: Fleet, delivery: FakeDelivery) -> None:
    """To each recipient of mail to this host, when the entry is in the index."""
    daemon = service(own, delivery, quarantine__area__default__notice="recipients")
    begin(daemon)
    entry_id = stored(daemon)
    lines = daemon.wait_logged("mail_sent", 2, kind="notice", about=entry_id)
    assert {line["recipient"] for line in lines} == {ANN.decode(), BOB.decode()}
    assert sorted(mail.recipients[0] for mail in delivery.messages) == [ANN.decode(), BOB.decode()]
    daemon.wait_metric("quarantine_mails_total", 2, kind="notice", result="sent")
