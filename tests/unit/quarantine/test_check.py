"""The check of the quarantine: the index becomes what the files say, and what is wrong with the files is reported."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from miltscan.quarantine import check
from miltscan.quarantine.check import CheckReport
from miltscan.quarantine.entry import Entry, Event, State
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.store import Store
from miltscan.quarantine.tables import Stored
from tests.fakes.entries import DAY, NOW, put

TWO_DAYS = 2 * 86400


@pytest.fixture
def store(tmp_path: Path, url: str) -> Iterator[Store]:
    """A quarantine without entries."""
    store = Store(tmp_path / "quarantine", url)
    store.refresh()
    yield store
    store.close()


@pytest.fixture
def entries(store: Store) -> list[Entry]:
    """Five entries of two days, all in the index."""
    found = [put(store.files, b"%d" % number, time=NOW + number % 2 * TWO_DAYS + number) for number in range(5)]
    store.refresh()
    return sorted(found, key=lambda entry: entry.id)


def ids(store: Store) -> list[str]:
    """The IDs in the index, oldest first."""
    return [row.id for row in reversed(store.rows())]


@pytest.mark.usefixtures("entries")
def test_nothing_is_wrong(store: Store) -> None:
    """All entries are counted; new ones are put into the index first."""
    put(store.files, time=NOW + 9)
    assert store.check() == CheckReport(entries=6)
    assert store.unindexed() == 0


def test_files_without_rows_and_rows_without_files(store: Store, entries: list[Entry]) -> None:
    """Both are repaired, in the middle and at the ends."""
    for places in ((0,), (4,), (2,), (0, 1, 2, 3, 4), (1, 3)):
        chosen = [entries[place].id for place in places]
        store._index.forget(chosen)  # noqa: SLF001 - rows that are lost
        assert store.check() == CheckReport(entries=5, added=len(places))
        assert ids(store) == [entry.id for entry in entries]
    for entry in (entries[4], entries[0], entries[2]):
        store.files.find(entry.id).unlink()
    assert store.check() == CheckReport(entries=2, removed=3)
    assert ids(store) == [entries[1].id, entries[3].id]


def test_a_state_that_the_index_does_not_show(store: Store, entries: list[Entry]) -> None:
    """An index that was restored from a copy may know fewer or more events than there are."""
    store.record(entries[1].id, Event(NOW, "ann", State.CLEARED))
    state = store.files.directory / DAY / f"{entries[1].id}.state"
    lines = state.read_bytes()
    for content in (b"", lines):
        state.write_bytes(content)
        assert store.check() == CheckReport(entries=5, changed=1)
        assert store.check() == CheckReport(entries=5)
    state.unlink()
    assert store.check() == CheckReport(entries=5, changed=1)
    assert {row.state for row in store.rows()} == {State.STORED}


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "does not begin as an entry does"),
    "head": (lambda data: data[:100], "the description of the message is truncated"),
    "json": (lambda data: data.replace(b'"area"', b'"arxa"'), "the description of the message cannot be read"),
    "short": (lambda data: data[:-1], "has 0 bytes of the message instead of 1"),
    "long": (lambda data: data + b"x", "has 2 bytes of the message instead of 1"),
    "byte": (lambda data: data[:-1] + b"x", "the message has another SHA-256 than when it was stored"),
    "version": (
        lambda data: data.replace(b"entry 1", b"entry 2"),
        "version 2 of the format is unknown to this miltscan",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("indexed", [False, True])
def test_a_broken_file(store: Store, entries: list[Entry], damage: str, indexed: bool) -> None:  # noqa: FBT001 - a case
    """It is reported with the reason and left as it is; the others are indexed."""
    change, reason = DAMAGES[damage]
    broken = store.files.find(entries[2].id)
    broken.write_bytes(change(broken.read_bytes()))
    if not indexed:
        store._index.forget([entry.id for entry in entries])  # noqa: SLF001 - rows that are lost
    report = store.check()
    assert report.broken == [(broken, reason)]
    assert broken.exists()
    assert set(ids(store)) >= {entry.id for entry in entries} - {entries[2].id}


def test_the_file_of_another_entry(store: Store, entries: list[Entry]) -> None:
    """A file that was renamed is broken."""
    moved = store.files.find(entries[0].id).rename(store.files.find(entries[2].id))
    assert store.check().broken == [(moved, f"describes entry {entries[0].id}")]


def test_modes_and_owners(store: Store, entries: list[Entry]) -> None:
    """Files that others can read, or that belong to another user, are reported with the remedy."""
    path = store.files.find(entries[0].id)
    path.chmod(0o644)
    assert store.check().broken == [(path, "has mode 0644 instead of 0600: use chmod")]
    path.chmod(0o400)
    assert store.check().broken == []
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)
        assert store.check().broken == [(path, "belongs to user 65534 instead of 0: use chown")]


def test_leftovers_are_removed(store: Store, entries: list[Entry]) -> None:
    """What killed processes left goes; what another program wrote stays, and is reported."""
    folder = store.files.directory
    old, young = (folder / "new" / f"{entry.id}.entry.tmp" for entry in entries[:2])
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (NOW, NOW))
    state = folder / DAY / f"{entries[0].id[:10]}0000000000.state"
    state.touch()
    foreign = [folder / DAY / "notes.txt", folder / DAY / f"{entries[-1].id}.entry", folder / "new" / "core"]
    for path in foreign:
        path.touch()
    report = store.check()
    assert (set(report.leftovers), set(report.foreign)) == ({old, state}, set(foreign))
    assert not old.exists()
    assert not state.exists()
    assert young.exists()
    assert all(path.exists() for path in foreign)
    assert ids(store) == [entry.id for entry in entries]


def test_folders_without_entries_are_removed(store: Store, entries: list[Entry]) -> None:
    """The folder of a day goes with its last entry."""
    days = store.files.days()
    for entry in entries:
        if store.files.find(entry.id).parent.name == days[0]:
            store.files.find(entry.id).unlink()
    store.check()
    assert store.files.days() == days[1:]


@pytest.mark.usefixtures("entries")
def test_progress(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins at 0, ends at all, and is called after each batch."""
    monkeypatch.setattr(check, "_BATCH", 2)
    calls: list[tuple[int, int]] = []
    store.check(lambda done, total: calls.append((done, total)))
    assert calls == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_without_digests_bytes_are_not_read(store: Store, entries: list[Entry]) -> None:
    """A new index needs the heads of files only."""
    path = store.files.find(entries[0].id)
    path.write_bytes(path.read_bytes()[:-1])
    store._index.forget([entries[0].id])  # noqa: SLF001 - a row that is lost
    assert store.check(digests=False) == CheckReport(entries=5, added=1)


def test_a_release_during_the_check(store: Store, entries: list[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its newer row, which the check overwrites with what it had read, is written again."""
    store._index.forget([entries[1].id])  # noqa: SLF001 - a row that is lost, so that the check writes it
    save = store._index.save  # noqa: SLF001 - between reading and writing

    def released_before(found: Sequence[Stored]) -> None:
        monkeypatch.undo()
        store.record(entries[1].id, Event(NOW, "ann", State.RELEASING))
        store.record(entries[1].id, Event(NOW, "ann", State.RELEASED, queue_id="Q"))
        save(found)

    monkeypatch.setattr(store._index, "save", released_before)  # noqa: SLF001 - as above
    store.check()
    store.refresh()
    (row,) = store.rows(Selection(state=State.RELEASED))
    assert row.id == entries[1].id
