"""The index in SQLite: gone, locked, damaged, of another version. The files are read again; nothing is lost."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from miltscan.errors import StoreError
from miltscan.quarantine import database
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.store import Store
from tests.fakes.entries import NOW, put


class Opened:
    """A store and what it reported."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[str] = []
        self.file = folder / "index.sqlite"
        self.store = Store(folder, report=self.lines.append)

    def ids(self) -> list[str]:
        """The IDs in the index, oldest first."""
        return [row.id for row in reversed(self.store.rows(limit=10_000))]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A store with 20 entries in its index."""
    opened = Opened(tmp_path / "quarantine")
    for number in range(20):
        put(opened.store.files, b"%d" % number, time=NOW + number)
    opened.store.refresh()
    opened.lines.clear()
    yield opened
    opened.store.close()


def again(opened: Opened) -> Opened:
    """Another process opens the store."""
    opened.store.close()
    return Opened(opened.store.files.directory)


def test_the_index_is_private(opened: Opened) -> None:
    """No other user can read it, with any umask."""
    before = os.umask(0)
    try:
        opened.file.unlink()
        opened.ids()
    finally:
        os.umask(before)
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in opened.file.parent.glob("index*")} == dict.fromkeys(
        ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "index.lock"), "0o600"
    )


@pytest.mark.parametrize("fresh", [False, True])
def test_gone(opened: Opened, fresh: bool) -> None:  # noqa: FBT001 - a case
    """An index that was removed while it was open, or before, is made again."""
    before = opened.ids()
    opened.file.unlink()
    if fresh:
        opened = again(opened)
    assert opened.ids() == before
    line = f"index {opened.file} does not exist. The index was made again from 20 entries."
    assert opened.lines == [line]
    opened.store.close()


def test_replaced(opened: Opened) -> None:
    """A file that was put in place of the open one is used, and made complete."""
    opened.store.close()
    copy = opened.file.with_name("copy")
    copy.write_bytes(opened.file.read_bytes())
    late = put(opened.store.files, time=NOW + 99)
    opened.store.refresh()
    assert opened.ids()[-1] == late.id
    for suffix in ("-wal", "-shm"):
        opened.file.with_name(f"index.sqlite{suffix}").unlink()
    copy.rename(opened.file)
    assert len(opened.ids()) == 20
    assert opened.store.check().added == 1


def test_locked(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts, reading and changes of state go on while another program holds the index; the rows come later."""
    monkeypatch.setattr(database, "_PATIENCE", 0.1)
    opened = again(opened)
    with closing(sqlite3.connect(opened.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        entry = put(opened.store.files, time=NOW + 99)
        with pytest.raises(StoreError, match=r"index sqlite.*: database is locked"):
            opened.store.refresh()
        opened.store.record(entry.id, Event(NOW, "ann", State.CLEARED))
        assert len(opened.ids()) == 20
        assert opened.lines == [f"index sqlite:///{opened.file}: database is locked. The index will follow later."]
        assert opened.store.unindexed() == 1
    assert opened.store.refresh() == 1
    assert opened.ids()[-1] == entry.id
    opened.store.close()


def not_a_database(content: bytes) -> bytes:
    """The file of something else."""
    return b"x" * len(content)


def truncated(content: bytes) -> bytes:
    """The first pages only."""
    return content[:8192]


def pages_overwritten(content: bytes) -> bytes:
    """The first page is as it was."""
    return content[:4096] + os.urandom(len(content) - 4096)


@pytest.mark.parametrize("damage", [not_a_database, truncated, pages_overwritten])
def test_damaged(opened: Opened, damage: Callable[[bytes], bytes]) -> None:
    """The file is moved aside and the index is made again, with one line."""
    before = opened.ids()
    opened.store.close()
    opened.file.write_bytes(damage(opened.file.read_bytes()))
    opened = again(opened)
    assert opened.ids() == before
    (aside,) = opened.file.parent.glob("index.sqlite.damaged-*")
    (line,) = opened.lines
    assert line.startswith(f"index sqlite:///{opened.file}: ")
    assert line.endswith(f". The index was made again from 20 entries. The damaged file is now {aside}.")
    assert opened.store.check().entries == 20
    opened.store.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE quarantine_index SET value = '0' WHERE name = 'format'",
        "DELETE FROM quarantine_index WHERE name = 'complete'",
        "DELETE FROM quarantine_index",
        "DROP TABLE quarantine_recipients",
        "ALTER TABLE quarantine_entries DROP COLUMN reply",
        "DROP TABLE quarantine_index",
    ],
)
def test_other_tables(opened: Opened, change: str) -> None:
    """Tables of another version, lacking ones, and an index whose making was interrupted, are made again."""
    before = opened.ids()
    with closing(sqlite3.connect(opened.file)) as other:
        other.execute(change)
        other.commit()
    opened = again(opened)
    assert opened.ids() == before
    assert opened.store.check().entries == 20
    assert len(opened.lines) == 1
    opened.store.close()


def test_the_folder_does_not_exist(tmp_path: Path) -> None:
    """A quarantine that nobody has used yet is empty."""
    opened = Opened(tmp_path / "a" / "b")
    assert (opened.ids(), opened.lines) == ([], [])
    opened.store.close()


def test_the_folder_is_a_file(tmp_path: Path) -> None:
    """The error names what cannot be used."""
    folder = tmp_path / "file"
    folder.touch()
    with pytest.raises(StoreError, match=r"file/index\.sqlite: Not a directory"):
        Opened(folder).store.rows()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("x", "quarantine.index is not a URL of a database. Expected postgresql+psycopg://..."),
        ("nonsense://x", "quarantine.index needs the Python package of nonsense."),
        ("postgresql+nothing://x", "quarantine.index needs the Python package of postgresql+nothing."),
    ],
)
def test_a_wrong_url(tmp_path: Path, url: str, expected: str) -> None:
    """One line says what is expected."""
    with pytest.raises(StoreError) as raised:
        Store(tmp_path, url).rows()
    assert str(raised.value).startswith(expected)


def test_another_file(tmp_path: Path) -> None:
    """The index may be in another place, on a faster disk for example."""
    place = tmp_path / "fast" / "index"
    place.parent.mkdir()
    store = Store(tmp_path / "quarantine", f"sqlite:///{place}")
    put(store.files)
    assert store.refresh() == 1
    assert place.exists()
    assert not (tmp_path / "quarantine" / "index.sqlite").exists()
    store.close()


def test_a_search_uses_an_index(opened: Opened) -> None:
    """The newest entries, those of an area, a sender or a recipient are found without reading all."""
    plans = {
        "SELECT id FROM quarantine_entries ORDER BY id DESC LIMIT 50": "sqlite_autoindex_quarantine_entries_1",
        "SELECT id FROM quarantine_entries WHERE area = 'a' ORDER BY id DESC": "quarantine_entries_area",
        "SELECT id FROM quarantine_entries WHERE sender_key = 'a' ORDER BY id DESC": "quarantine_entries_sender",
        "SELECT entry_id FROM quarantine_recipients WHERE domain = 'a'": "quarantine_recipients_domain",
        "SELECT area, count(*), sum(disk), min(id) FROM quarantine_entries GROUP BY area": "quarantine_entries_area",
    }
    with closing(sqlite3.connect(opened.file)) as other:
        for query, expected in plans.items():
            plan = " ".join(row[-1] for row in other.execute(f"EXPLAIN QUERY PLAN {query}"))
            assert expected in plan, query
            assert "TEMP B-TREE" not in plan, query
