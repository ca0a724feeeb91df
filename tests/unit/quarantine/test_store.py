"""Files and index together. tests/e2e/test_quarantine_postgresql.py runs the same tests with PostgreSQL."""

import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.message import Direction
from miltscan.errors import EntryError
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.index import EntryIndex, StateTotals
from miltscan.quarantine.retention import Bound, Expired, Retention
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.store import Store
from miltscan.quarantine.tables import RecipientRow, Stored
from tests.fakes.entries import ANN, BOB, DAY, MESSAGE, NOW, put

HOUR = 3600.0


@dataclass
class Opened:
    """A store, how to open it again with other areas, and what it reported."""

    open: Callable[..., Store]
    lines: list[str] = field(default_factory=list)


@pytest.fixture
def opened(tmp_path: Path, url: str) -> Iterator[Opened]:
    """A quarantine without entries."""
    stores: list[Store] = []

    def open_store(**areas: Retention) -> Store:
        stores.append(Store(tmp_path / "quarantine", url, areas, found.lines.append))
        return stores[-1]

    found = Opened(open_store)
    yield found
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Opened) -> Store:
    """A store without entries, whose areas keep everything."""
    return opened.open()


def ids(store: Store, wanted: Selection | None = None) -> list[str]:
    """The IDs that a selection finds, newest first."""
    rows = store.rows(wanted or Selection(), 1000)
    assert store.count(wanted or Selection()) == len(rows)
    return [row.id for row in rows]


def by(state: State | None = None, *recipients: bytes, reply: str = "") -> Event:
    """An event of an administrator, an hour after the entry."""
    return Event(NOW + HOUR, "ann", state, recipients, reply=reply)


def test_an_empty_store(store: Store, opened: Opened) -> None:
    """Nothing is found, and nothing is reported."""
    assert (store.refresh(), ids(store), store.totals(), store.unindexed()) == (0, [], [], 0)
    assert store.expire(NOW) == []
    assert opened.lines == []


def test_a_row(store: Store) -> None:
    """A row shows what the file says, cleaned."""
    entry = put(
        store.files,
        sender=b"<Ev\x1be@Client.Example>",
        recipients=(b"<a\xff@example.com>",),
        subject="x\u202ey",
        signature="A\nB",
        client_name="\x00",
    )
    assert store.unindexed() == 1
    assert store.refresh() == 1
    assert store.unindexed() == 0
    (row,) = store.rows()
    assert (row.id, row.time, row.area, row.action) == (entry.id, NOW, "default", "quarantine")
    assert (row.sender, row.recipients) == (
        "Ev\\x1be@Client.Example",
        (RecipientRow("a\\xff@example.com", State.STORED),),
    )
    assert (row.subject, row.signature, row.client_name) == ("x\\u202ey", "A\\nB", "\\x00")
    assert (row.state, row.changed, row.reply, row.duplicate_of) == (State.STORED, NOW, "", None)
    assert (row.size, row.digest, row.signatures) == (len(MESSAGE), entry.digest, 27000)
    assert row.disk == store.files.find(entry.id).stat().st_size
    assert ids(store, Selection(sender="ev\\x1be@client.example")) == [entry.id]
    assert ids(store, Selection(sender="@client.example")) == [entry.id]


def test_newest_first_by_pages(store: Store) -> None:
    """A page ends where the next begins."""
    stored = [put(store.files, time=NOW + number).id for number in range(7)]
    assert store.refresh() == 7
    assert ids(store) == stored[::-1]
    assert [row.id for row in store.rows(limit=3)] == stored[:3:-1]
    assert [row.id for row in store.rows(limit=3, after=stored[4])] == stored[3:0:-1]


def test_selections(store: Store) -> None:
    """Each condition finds its entries and no others; all must be met."""
    plain = put(store.files, content=b"1").id
    other = put(
        store.files,
        content=b"2",
        time=NOW + HOUR,
        area="virus",
        sender=b"<bill@Example.NET>",
        recipients=(b"<Carl@example.com>", b"<bob@sub.example.org>"),
        signature="Win_Test.Eicar%1",
        subject="Rechnung für GRÜSSE 100%_x",
        author="Bill <bill@example.net>",
        signatures=27001,
    ).id
    store.refresh()
    for wanted, expected in [
        (Selection(), [other, plain]),
        (Selection(area="virus"), [other]),
        (Selection(area="viru"), []),
        (Selection(sender="<bill@example.net>"), [other]),
        (Selection(sender="@EXAMPLE.net"), [other]),
        (Selection(sender="bill"), []),
        (Selection(recipient="carl@example.com"), [other]),
        (Selection(recipient="@example.com"), [other, plain]),
        (Selection(recipient="@example.org"), [plain]),
        (Selection(signature="win_test.eicar%1"), [other]),
        (Selection(signature="Win*"), [other]),
        (Selection(signature="*phish*"), [plain]),
        (Selection(signature="Win?Test*"), []),
        (Selection(signature="WinXTest*"), []),
        (Selection(signature="%"), []),
        (Selection(state=State.STORED), [other, plain]),
        (Selection(state=State.RELEASED), []),
        (Selection(older_than=NOW + 1), [plain]),
        (Selection(newer_than=NOW + 1), [other]),
        (Selection(newer_than=NOW, older_than=NOW), []),
        (Selection(text="grüsse"), [other]),
        (Selection(text="100% RECHNUNG"), [other]),
        (Selection(text="100x"), []),
        (Selection(text="bill@"), [other]),
        (Selection(text="' OR 1=1 --"), []),
        (Selection(text="carl@EXAMPLE"), [other]),
        (Selection(text="bob@sub rechnung"), [other]),
        (Selection(text="eicar%1"), [other]),
        (Selection(text="4B1X"), [other, plain]),
        (Selection(text="<1@client"), [other, plain]),
        (Selection(digest=store.files.read(plain).entry.digest.upper()), [plain]),
        (Selection(signatures_below=27001), [plain]),
        (Selection(area="virus", sender="@client.example"), []),
    ]:
        assert ids(store, wanted) == expected, wanted


def test_find(store: Store) -> None:
    """A prefix must name one entry; a whole ID is found without the index, also before it has a row."""
    one, other = put(store.files).id, put(store.files, time=NOW + 40 * 86400).id
    assert store.find(one) == one
    store.refresh()
    assert store.find(one.upper()) == one
    assert (store.find(one[:6]), store.find(other[:6].upper())) == (one, other)
    with pytest.raises(EntryError, match=f"several entries begin with '01m': {one}, {other}"):
        store.find("01m")
    for missing, expected in (("7", "begins with '7'"), ("x/", "no entry 'x/'"), ("", "no entry ''")):
        with pytest.raises(EntryError, match=expected):
            store.find(missing)


def test_many_candidates(store: Store) -> None:
    """Of more IDs than a line can show, the first ones are named."""
    found = [put(store.files, time=NOW + number).id for number in range(6)]
    store.refresh()
    with pytest.raises(EntryError) as caught:
        store.find("01")
    assert str(caught.value) == f"several entries begin with '01': {', '.join(found[:5])} and others"


def test_states(store: Store) -> None:
    """For each area and state the number of entries, and of those that could not be released at the last attempt."""
    failed, cleared, released, virus = (put(store.files, area=area).id for area in ("a", "a", "a", "virus"))
    store.record(failed, by(State.RELEASING))
    store.record(failed, by(State.STORED, reply="450 later"))
    store.record(cleared, by(State.CLEARED))
    store.record(released, by(State.RELEASING))
    store.record(released, by(State.RELEASED, reply="250 ok"))
    store.refresh()
    assert store.states() == [
        StateTotals("a", State.CLEARED, 1, 0),
        StateTotals("a", State.RELEASED, 1, 0),
        StateTotals("a", State.STORED, 1, 1),
        StateTotals("virus", State.STORED, 1, 0),
    ]
    store.record(virus, by(State.CLEARED))
    assert store.states()[-1] == StateTotals("virus", State.CLEARED, 1, 0)


def test_totals(store: Store) -> None:
    """Number, bytes and oldest time of each area."""
    for area, time in (("b", NOW + 2), ("a", NOW + 1), ("b", NOW)):
        put(store.files, area=area, time=time)
    store.refresh()
    a, b = store.totals()
    assert (a.area, a.entries, a.oldest) == ("a", 1, NOW + 1)
    assert (b.area, b.entries, b.oldest) == ("b", 2, NOW)
    assert b.bytes == sum(row.disk for row in store.rows() if row.area == "b")


def test_a_retry_is_a_duplicate(store: Store) -> None:
    """The same message with the same envelope is a duplicate of the first, in one batch or a later one."""
    first = put(store.files).id
    second = put(store.files, time=NOW + 1, recipients=(BOB, ANN)).id
    store.refresh()
    third = put(store.files, time=NOW + 2).id
    others = [
        put(store.files, time=NOW + 3, sender=b"<>").id,
        put(store.files, time=NOW + 4, recipients=(ANN,)).id,
        put(store.files, time=NOW + 5, content=b"other").id,
    ]
    store.refresh()
    found = {row.id: row.duplicate_of for row in store.rows()}
    assert found == {first: None, second: first, third: first, **dict.fromkeys(others)}
    assert store.delete(first)
    assert {row.duplicate_of for row in store.rows()} == {None}


def test_a_state_change(store: Store) -> None:
    """The index shows the state for each recipient and the last reply at once."""
    entry = put(store.files)
    store.refresh()
    store.record(entry.id, by(State.RELEASING, ANN))
    store.record(entry.id, by(State.STORED, ANN, reply="451 4.3.0 \x1btry again"))
    (row,) = store.rows()
    assert (row.state, row.changed, row.reply) == (State.STORED, NOW + HOUR, "451 4.3.0 \\x1btry again")
    store.record(entry.id, by(State.RELEASING, ANN))
    store.record(entry.id, by(State.RELEASED, ANN))
    (row,) = store.rows()
    assert [recipient.state for recipient in row.recipients] == [State.RELEASED, State.STORED]
    assert store.unindexed() == 0


def test_a_change_of_another_process(store: Store) -> None:
    """An event that a process could not put into the index is in it after the next refresh."""
    entry = put(store.files)
    store.refresh()
    store.files.record(entry.id, by(State.CLEARED))
    assert ids(store, Selection(state=State.CLEARED)) == []
    assert store.refresh() == 1
    assert ids(store, Selection(state=State.CLEARED)) == [entry.id]


def test_a_rescan(store: Store) -> None:
    """The row shows the result of the last scan."""
    entry = put(store.files)
    store.refresh()
    store.record(
        entry.id, by()._replace(outcome=store.files.read(entry.id).entry.outcome, signature="New", signatures=9)
    )
    (row,) = store.rows()
    assert (row.outcome, row.signature, row.signatures) == ("infected", "New", 9)


def test_delete(store: Store) -> None:
    """File and row are gone; an entry in release stays."""
    entry = put(store.files)
    store.refresh()
    with store.files.claim(entry.id):
        assert not store.delete(entry.id)
    assert ids(store) == [entry.id]
    assert store.delete(entry.id)
    assert ids(store) == []
    with pytest.raises(EntryError, match="no entry"):
        store.delete(entry.id)


def test_a_deleted_entry_that_was_never_indexed(store: Store) -> None:
    """What is deleted before its row is written gets none."""
    entry = put(store.files)
    store.files.record(entry.id, by())
    store.files.find(entry.id).unlink()
    assert store.refresh() == 1
    assert (ids(store), store.unindexed()) == ([], 0)
    assert [*store.files.directory.rglob("*.state")] == []


def test_a_broken_file_is_reported_and_kept(store: Store, opened: Opened) -> None:
    """A file that cannot be read does not stop the others, and leaves `new`."""
    assert ids(store) == []
    broken, whole = put(store.files), put(store.files)
    store.files.find(broken.id).write_bytes(b"miltscan-entry 9\n")
    store.refresh()
    assert ids(store) == [whole.id]
    assert opened.lines == [f"entry {broken.id}: version 9 of the format is unknown to this miltscan"]
    assert (store.unindexed(), store.files.ids(DAY)) == (0, sorted([broken.id, whole.id]))


def test_a_broken_file_whose_state_changed_waits_no_longer(store: Store, opened: Opened) -> None:
    """It is reported once: commands index until nothing waits."""
    entry = put(store.files)
    store.refresh()
    store.files.record(entry.id, by())
    store.files.find(entry.id).write_bytes(b"x")
    assert (store.index_waiting(9), store.unindexed()) == (1, 0)
    assert opened.lines[-1] == f"entry {entry.id}: does not begin as an entry does"


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the file of an entry one that only root can read, as after a restore without its owner."""
    paths, opens = set[str](), Path.open

    def restricted(path: Path, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - as open's
        if path.name in paths:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opens(path, *arguments, **named)

    def restrict(entry_id: str) -> None:
        paths.add(f"{entry_id}.entry")
        monkeypatch.setattr(Path, "open", restricted)

    return restrict


def test_an_unreadable_file_does_not_stop_the_others(
    store: Store, opened: Opened, unreadable: Callable[[str], None]
) -> None:
    """It is reported with its ID, and the index has the others."""
    assert ids(store) == []
    other, whole = put(store.files), put(store.files)
    unreadable(other.id)
    assert (store.index_waiting(9), store.unindexed(), ids(store)) == (2, 0, [whole.id])
    assert opened.lines == [f"entry {other.id}: cannot be read: Permission denied"]


def test_an_unreadable_file_expires(opened: Opened, unreadable: Callable[[str], None]) -> None:
    """It does not keep the later ones from it, until the disk is full."""
    store = opened.open(default=Retention(max_age=HOUR))
    found = stored(store, "default", "default")
    unreadable(found[0])
    assert [one.id for one in store.expire(NOW + 10 * HOUR)] == found
    assert not store.files.exists(found[0])


def test_no_row_remains_of_a_deletion_that_was_cut_short(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index failed, or the process was killed, when the files were gone: the row goes later."""
    entry = put(store.files)
    store.refresh()
    with monkeypatch.context() as patched:
        patched.setattr(store, "_later", lambda _: None)
        assert store.delete(entry.id)
    assert ids(store) == [entry.id]
    store.refresh()
    assert (ids(store), store.unindexed()) == ([], 0)


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Another process makes the change between reading files and writing rows."""
    pending, save = [change], EntryIndex.save

    def save_later(index: EntryIndex, found: Sequence[Stored]) -> None:
        while pending:
            pending.pop()()
        save(index, found)

    monkeypatch.setattr(EntryIndex, "save", save_later)


def test_what_is_deleted_meanwhile_has_no_row(store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row without a file would be listed until its age."""
    assert ids(store) == []
    entry, other = put(store.files), opened.open()
    meanwhile(monkeypatch, lambda: other.delete(entry.id))
    store.refresh()
    assert (ids(store), store.unindexed()) == ([], 0)


def test_an_older_state_does_not_overwrite_a_newer_one(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes write the row of an entry: the index shows what the file says."""
    entry, other = put(store.files), opened.open()
    store.record(entry.id, by(State.RELEASING))
    meanwhile(monkeypatch, lambda: other.record(entry.id, by(State.RELEASED)))
    store.files.mark(entry.id)
    store.refresh()
    assert [row.state for row in store.rows()] == [State.RELEASED]


def stored(store: Store, *areas: str) -> list[str]:
    """An entry for each of these areas, an hour after the former one."""
    found = [put(store.files, area=area, time=NOW + number * HOUR).id for number, area in enumerate(areas)]
    store.refresh()
    return found


def test_expiry_by_age(opened: Opened) -> None:
    """Entries older than the bound go, with the folder of their day."""
    store = opened.open(default=Retention(max_age=2 * HOUR))
    entries = stored(store, "default", "default", "default", "default")
    assert store.expire(NOW + 4 * HOUR) == [Expired(one, "default", Bound.AGE, "4B1x") for one in entries[:2]]
    assert ids(store) == entries[:1:-1]
    assert store.expire(NOW + 4 * HOUR) == []
    assert len(store.expire(NOW + 9 * HOUR)) == 2
    assert store.files.days() == []


def test_expiry_by_number(opened: Opened) -> None:
    """The oldest above the number go, in batches."""
    store = opened.open(default=Retention(max_entries=1))
    entries = stored(store, "default", "default", "default")
    assert store.expire(NOW, 1) == [Expired(entries[0], "default", Bound.ENTRIES, "4B1x")]
    assert store.expire(NOW, 5) == [Expired(entries[1], "default", Bound.ENTRIES, "4B1x")]
    assert store.expire(NOW, 5) == []


def test_expiry_by_size(opened: Opened) -> None:
    """The oldest go until the rest has room."""
    store = opened.open()
    entries = stored(store, "default", "default", "default")
    size = store.rows()[0].disk
    store = opened.open(default=Retention(max_size=2 * size + 10))
    assert store.expire(NOW) == [Expired(entries[0], "default", Bound.SIZE, "4B1x")]
    assert store.expire(NOW) == []


def test_each_area_has_its_bounds(opened: Opened) -> None:
    """An area without a table has those of `default`; no bound keeps everything."""
    store = opened.open(default=Retention(max_entries=1), kept=Retention())
    entries = stored(store, "default", "gone", "kept", "default", "gone", "kept")
    assert {one.id for one in store.expire(NOW)} == {entries[0], entries[1]}
    assert opened.open().expire(NOW) == []


def test_expiry_skips_what_is_in_release(opened: Opened) -> None:
    """Neither an entry whose release is under way, nor one that another process holds, is deleted."""
    store = opened.open(default=Retention(max_age=HOUR))
    releasing, held, other = stored(store, "default", "default", "default")
    store.record(releasing, by(State.RELEASING))
    with store.files.claim(held):
        assert [one.id for one in store.expire(NOW + 99 * HOUR)] == [other]
    assert ids(store) == [held, releasing]


def test_expiry_of_a_row_without_a_file(opened: Opened) -> None:
    """The row goes, as the entry has gone."""
    store = opened.open(default=Retention(max_age=HOUR))
    (entry_id,) = stored(store, "default")
    store.files.find(entry_id).unlink()
    assert len(store.expire(NOW + 9 * HOUR)) == 1
    assert ids(store) == []


def test_numbers_for_summaries(store: Store) -> None:
    """Entries are counted by recipient and by area, in areas, directions and a time, without duplicates."""
    ann, other = b"<Ann@Example.com>", b"<other@example.org>"
    put(store.files, b"1", recipients=(ANN, ann, BOB))
    put(store.files, b"2", recipients=(ann,), time=NOW + 1)
    put(store.files, b"2", recipients=(ann,), time=NOW + 2)  # the client has sent it again
    put(store.files, b"3", recipients=(other,), area="other")
    put(store.files, b"4", recipients=(other,), direction=Direction.OUTBOUND)
    put(store.files, b"5", recipients=(other,), time=NOW + 3600)
    store.refresh()
    hour = Selection(newer_than=NOW, older_than=NOW + 3600)
    assert store.addressees(hour, ["default"], [Direction.INBOUND]) == {"ann@example.com": 2, "bob@example.org": 1}
    assert store.addressees(hour, ["other"], [Direction.INBOUND]) == {"other@example.org": 1}
    assert store.addressees(hour, [], [Direction.INBOUND]) == {}
    assert store.counts(hour) == {"default": 3, "other": 1}
    assert store.counts(Selection()) == {"default": 4, "other": 1}
