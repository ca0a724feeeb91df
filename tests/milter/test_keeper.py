"""The keeper of a running service: what waits is indexed, by one process, whatever happens to it or to the index."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from miltscan.quarantine.entry import State
from miltscan.quarantine.store import Store
from miltscan.quarantine.tables import Row
from tests.fakes.clamd_lies import Scan, honest
from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Code
from tests.fakes.mta import Message
from tests.harness.postgres import Postgres
from tests.harness.processes import PATIENCE, Programs, wait_until
from tests.harness.sandwich import private_folder
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

VIRUS = EICAR + b"\r\n"
KEEPS = {"policy__on_infected": "quarantine:viruses", "quarantine__area__viruses__max_age": "90d"}


def started(daemon: Daemon) -> Daemon:
    """The service, once its keeper has the lock."""
    daemon.start()
    daemon.wait_ready()
    wait_until(lambda: daemon.metric("keeper_last_round_timestamp_seconds"), PATIENCE, "a first round")
    return daemon


def keep(daemon: Daemon, queue_id: str) -> str:
    """Send an infected message, which is accepted; the ID of its entry."""
    assert daemon.send(Message(body=VIRUS, queue_id=queue_id.encode())).reply.code is Code.DISCARD
    return str(daemon.line_of(queue_id)["entry"])


def indexed(daemon: Daemon) -> list[Row]:
    """The rows of the index, newest first."""
    store = Store(daemon.folder / "quarantine")
    with closing(store):
        return store.rows()


def wait_indexed(daemon: Daemon, *entries: str) -> None:
    """Until the index has these entries and nothing waits."""
    folder = daemon.folder / "quarantine"
    wait_until(lambda: not any((folder / "new").iterdir()), PATIENCE, "an index with all entries")
    assert {row.id for row in indexed(daemon)} >= set(entries)


def keeper(daemon: Daemon) -> psutil.Process:
    """The keeper, once there is one."""
    return wait_until(daemon.keepers, PATIENCE, "a keeper")[0]


def test_a_stored_message_is_indexed(own: Fleet) -> None:
    """Its file is in the folder of its day, and the metrics count it."""
    daemon = started(own(**KEEPS))
    entry = keep(daemon, "Q1")
    wait_indexed(daemon, entry)
    assert [path.name for path in (daemon.folder / "quarantine").glob("2*/*")] == [f"{entry}.entry"]
    daemon.wait_metric("quarantine_entries", 1, area="viruses")
    assert daemon.metric("quarantine_entries", area="default") == 0
    assert daemon.metric("quarantine_bytes", area="viruses") > len(VIRUS)
    assert daemon.metric("quarantine_oldest_timestamp_seconds", area="viruses") > 0
    assert daemon.metric("quarantine_unindexed") == 0
    assert 0 < daemon.metric("quarantine_free_bytes") <= daemon.metric("quarantine_disk_bytes")
    assert daemon.metric("keeper_configured") == 1


def test_after_kill_9_it_goes_on(own: Fleet) -> None:
    """Mail is stored without the keeper; its successor indexes what came meanwhile."""
    daemon = started(own(**KEEPS))
    for number in range(3):
        keeper(daemon).kill()
        entry = keep(daemon, f"Q{number}")
        daemon.wait_logged("child_died", number + 1, child="keeper")
        wait_indexed(daemon, entry)
    assert len(indexed(daemon)) == 3
    assert daemon.stop() == 0


def test_a_second_service_waits(own: Fleet) -> None:
    """It logs one line, is well, and takes over when the first one is gone."""
    first = started(own(**KEEPS))
    second = started(own(**KEEPS, quarantine__directory=str(first.folder / "quarantine")))
    (line,) = second.wait_logged("keeper_waits")
    assert line["pid"] == str(keeper(first).pid)
    wait_indexed(first, keep(second, "OTHER"))
    before = second.metric("keeper_last_round_timestamp_seconds")
    wait_until(
        lambda: second.metric("keeper_last_round_timestamp_seconds") > before, PATIENCE, "a round of the one that waits"
    )
    assert first.stop() == 0
    wait_indexed(first, keep(second, "TAKEN"))
    assert len(second.logged("keeper_waits")) == 1


def test_processes_show_what_they_do(own: Fleet) -> None:
    """In `top` and `ps -o comm`; the keeper gives way to mail."""
    daemon = started(own(**KEEPS))
    shown = {(child.name(), child.nice()) for child in daemon.children()}
    assert shown == {("miltscan worker", 0), ("miltscan export", 0), ("miltscan keeper", 5)}


def test_without_a_quarantine_there_is_no_keeper(own: Fleet) -> None:
    """A folder of former settings has one: its messages still expire."""
    daemon = own()
    daemon.start()
    daemon.wait_ready()
    daemon.wait_metric("keeper_configured", 0)
    assert daemon.keepers() == []
    assert daemon.stop() == 0
    (daemon.folder / "quarantine").mkdir(mode=0o700)
    started(daemon)
    assert keeper(daemon)


def test_a_reload_brings_the_first_quarantine(own: Fleet) -> None:
    """The keeper begins without a restart, and is replaced like another child."""
    daemon = own()
    daemon.start()
    daemon.wait_ready()
    daemon.write(**KEEPS)
    daemon.running.signal(signal.SIGHUP)
    daemon.wait_logged("reload")
    kept = Message(body=VIRUS)  # the worker reads the order a moment after the supervisor wrote its line
    wait_until(lambda: daemon.send(kept).reply.code is Code.DISCARD, PATIENCE, "a worker with the new settings")
    wait_indexed(daemon, keep(daemon, "Q1"))
    keeper(daemon).kill()
    daemon.wait_logged("child_died", child="keeper")
    wait_indexed(daemon, keep(daemon, "Q2"))
    daemon.wait_metric("keeper_configured", 1)


def test_a_reload_changes_how_much_is_kept(own: Fleet) -> None:
    """The oldest are deleted, each with a line that leads to its message."""
    daemon = started(own(**KEEPS))
    entries = [keep(daemon, f"Q{number}") for number in range(4)]
    wait_indexed(daemon, *entries)
    daemon.write(**KEEPS, quarantine__area__viruses__max_entries=1)
    daemon.running.signal(signal.SIGHUP)
    lines = daemon.wait_logged("entry_deleted", 3, by="keeper", reason="expired: entries", area="viruses")
    assert [(line["entry"], line["queue_id"]) for line in lines] == [*zip(entries, ["Q0", "Q1", "Q2"], strict=False)]
    assert [row.id for row in indexed(daemon)] == entries[3:]
    daemon.wait_metric("quarantine_expired_total", 3)
    daemon.wait_metric("quarantine_entries", 1, area="viruses")


@contextmanager
def locked(index: Path) -> Iterator[None]:
    """Another program writes to the SQLite file, and does not end."""
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def test_a_locked_index_delays_no_mail(own: Fleet) -> None:
    """Messages are stored and counted as not indexed; the fault is logged once, and the end of it."""
    daemon = started(own(**KEEPS))
    wait_indexed(daemon, keep(daemon, "BEFORE"))
    with locked(daemon.folder / "quarantine" / "index.sqlite"):
        entry = keep(daemon, "LOCKED")
        (line,) = daemon.wait_logged("keeper_fails", work="index")
        assert "database is locked" in str(line["why"])
        daemon.wait_metric("quarantine_unindexed", 1)
    wait_indexed(daemon, entry)
    daemon.wait_logged("keeper_works", work="index")
    daemon.wait_metric("quarantine_unindexed", 0)


def damage(daemon: Daemon, index: Path) -> None:
    """Turn the SQLite file, and what is not yet part of it, into something else that the keeper has not in memory."""
    for path in (index, index.with_name("index.sqlite-wal")):
        path.write_bytes(b"nonsense" * 1000)
    keeper(daemon).kill()


def remove(_daemon: Daemon, index: Path) -> None:
    """Remove it, which the running keeper notices."""
    index.unlink()


@pytest.mark.parametrize("spoil", [damage, remove])
def test_an_index_that_is_spoilt_is_made_again(own: Fleet, spoil: Callable[[Daemon, Path], None]) -> None:
    """From the files, so that no entry is missing."""
    daemon = started(own(**KEEPS))
    before = keep(daemon, "BEFORE")
    wait_indexed(daemon, before)
    spoil(daemon, daemon.folder / "quarantine" / "index.sqlite")
    after = keep(daemon, "AFTER")
    daemon.wait_logged("store_warning")
    wait_indexed(daemon, before, after)
    assert daemon.logged("exception") == []


def test_a_keeper_that_dies_while_it_indexes_loses_nothing(own: Fleet) -> None:
    """Killed again and again in a stream of messages."""
    daemon = started(own(**KEEPS))
    entries = []
    for number in range(30):
        entries.append(keep(daemon, f"Q{number}"))
        if number % 5 == 4:
            os.kill(keeper(daemon).pid, signal.SIGKILL)
    wait_indexed(daemon, *entries)
    assert sorted(row.id for row in indexed(daemon)) == sorted(entries)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL."""
    with private_folder() as folder, Programs(folder) as programs:
        server = Postgres.create(programs)
        yield server
        server.stop()  # before the service, which is still connected: TERM alone would wait for it


def test_a_postgresql_that_stops_delays_no_mail(own: Fleet, postgres: Postgres) -> None:
    """What is stored while it is down is in the index as soon as it is back."""
    daemon = started(own(**KEEPS, quarantine__index=postgres.url))
    first = keep(daemon, "BEFORE")
    query = "SELECT string_agg(id, ' ' ORDER BY id) FROM quarantine_entries"
    wait_until(lambda: postgres.query(query) == first, PATIENCE, "a row in PostgreSQL")
    postgres.stop()
    second = keep(daemon, "DOWN")
    daemon.wait_logged("keeper_fails", work="index")
    daemon.wait_metric("quarantine_unindexed", 1)
    postgres.start()
    wait_until(lambda: postgres.query(query) == f"{first} {second}", PATIENCE, "both rows in PostgreSQL")
    daemon.wait_logged("keeper_works", work="index")
    assert len(daemon.logged("keeper_fails", work="index")) == 1


def blind(scan: Scan) -> None:
    """An engine that no longer knows what it detected, except in its self-test."""
    if b"canary" in scan.peek(4096):
        honest(scan)
    else:
        scan.content()
        scan.answer(b"OK")


def updated(daemon: Daemon, version: int, behaviour: Callable[[Scan], None]) -> None:
    """Give the engine other signatures."""
    daemon.clamd.behaviour = behaviour
    daemon.clamd.answers[b"VERSION"] = b"ClamAV 1.4.3/%d/Sun Jan  4 10:00:00 2026" % version


def test_a_new_signature_database_clears(own: Fleet) -> None:
    """The keeper scans what was stored again, and what is no longer detected is `cleared`."""
    daemon = started(own(**KEEPS, clamd__canary_interval="1s"))
    daemon.wait_metric("signature_database_version", 27700)
    entry = keep(daemon, "Q1")
    wait_indexed(daemon, entry)
    updated(daemon, 27701, blind)
    (line,) = daemon.wait_logged("entry_cleared", entry=entry)
    assert (line["queue_id"], line["area"], line["signature"]) == ("Q1", "viruses", "Eicar-Test-Signature")
    daemon.wait_logged("rescanned", signatures=27701, cleared=1)
    wait_indexed(daemon, entry)
    (row,) = indexed(daemon)
    assert (row.state, row.outcome, row.signatures) == (State.CLEARED, "clean", 27701)
    daemon.wait_metric("quarantine_rescans_total", 1, result="cleared")
    daemon.wait_metric("quarantine_cleared", 1, area="viruses")
    updated(daemon, 27702, honest)
    daemon.wait_logged("rescanned", signatures=27702, renamed=1)
    wait_indexed(daemon, entry)
    (row,) = indexed(daemon)
    assert (row.state, row.outcome, row.signature) == (State.STORED, "infected", "Eicar-Test-Signature")
    assert len(daemon.logged("entry_cleared")) == 1


def test_rescans_can_be_switched_off(own: Fleet) -> None:
    """By a reload; the engine is not asked then."""
    daemon = started(own(**KEEPS, clamd__canary_interval="1s", quarantine__rescan=False))
    daemon.wait_metric("signature_database_version", 27700)
    entry = keep(daemon, "Q1")
    wait_indexed(daemon, entry)
    updated(daemon, 27701, blind)
    daemon.wait_logged("signatures", version=27701)
    daemon.write(**KEEPS, clamd__canary_interval="1s")
    assert daemon.logged("rescanned") == []
    daemon.running.signal(signal.SIGHUP)
    daemon.wait_logged("entry_cleared", entry=entry)
