"""The index of the quarantine in a real PostgreSQL: the tests of the store, and what is different."""

import importlib.util
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from miltscan.errors import StoreError
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.store import Store
from tests.fakes.entries import NOW, put
from tests.harness.postgres import Postgres
from tests.harness.processes import Programs
from tests.harness.sandwich import private_folder
from tests.unit.quarantine.test_store import *  # noqa: F403 - the same tests, with the `url` below
from tests.unit.quarantine.test_store import Opened


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A running server."""
    with private_folder() as folder, Programs(folder) as programs:
        postgres = Postgres.create(programs)
        yield postgres
        postgres.stop()


@pytest.fixture
def url(server: Postgres) -> str:
    """An empty database, for the fixture `opened` of the other module."""
    server.query("DROP SCHEMA public CASCADE")
    server.query("CREATE SCHEMA public")
    return server.url


@pytest.fixture
def stopped(server: Postgres) -> Iterator[Postgres]:
    """A server that a test may stop."""
    yield server
    if server.query("SELECT 1") != "1":
        server.start()


def test_the_server_stops_during_a_put(store: Store, stopped: Postgres) -> None:
    """Nothing that is put is lost or late; the rows come when the server is back, without a restart of ours."""
    before = put(store.files).id
    store.refresh()
    stopped.stop()
    while_down = put(store.files, time=NOW + 1).id
    store.record(before, Event(NOW, "ann", State.CLEARED))
    for call in (store.refresh, store.rows, store.totals, lambda: store.expire(NOW), store.check):
        with pytest.raises(StoreError, match=r"index postgresql.*connection"):
            call()
    assert store.find(before) == before
    assert store.unindexed() == 2
    stopped.start()
    assert store.refresh() == 2
    assert [row.id for row in store.rows()] == [while_down, before]
    assert [row.id for row in store.rows(Selection(state=State.CLEARED))] == [before]


def test_connections_that_the_server_has_cut(store: Store, stopped: Postgres) -> None:
    """After a restart of the server the next query works at once."""
    put(store.files)
    store.refresh()
    stopped.stop()
    stopped.start()
    assert len(store.rows()) == 1


def test_several_processes_write_the_same_rows(opened: Opened) -> None:
    """The keeper and commands may put the same entries into the index at the same time."""
    stores = [opened.open() for _ in range(4)]
    ids = sorted(put(stores[0].files, time=NOW + number, content=b"%d" % number).id for number in range(200))
    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(Store.refresh, stores)) > 0
    assert sorted(row.id for row in stores[0].rows(limit=1000)) == ids
    assert stores[0].unindexed() == 0


def test_rows_that_are_gone_are_made_again(store: Store, opened: Opened, server: Postgres) -> None:
    """An empty database is filled from the files; one that lacks rows by `check`."""
    entry = put(store.files)
    store.refresh()
    server.query("DROP TABLE quarantine_entries")
    assert [row.id for row in store.rows()] == [entry.id]
    assert len(opened.lines) == 1
    assert opened.lines[0].endswith("The index was made again from 1 entries.")
    server.query("DELETE FROM quarantine_entries")
    assert store.check().added == 1
    assert [row.id for row in store.rows()] == [entry.id]


def test_no_password_in_errors(tmp_path: Path) -> None:
    """The line about a database that cannot be reached names it, without its password."""
    store = Store(tmp_path / "quarantine", f"postgresql+psycopg://miltscan:secret@/postgres?host={tmp_path}")
    with pytest.raises(StoreError) as raised:
        store.rows()
    assert "secret" not in str(raised.value)
    assert str(raised.value).startswith("index postgresql+psycopg://miltscan:***@/postgres")
    assert "\n" not in str(raised.value)


def test_without_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the package and how it is installed."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert importlib.util.find_spec("sqlalchemy")
    store = Store(tmp_path / "quarantine", "postgresql+psycopg://miltscan@/postgres")
    with pytest.raises(StoreError, match=r"needs the Python package of .* -r deploy/requirements-quarantine.txt"):
        store.rows()
