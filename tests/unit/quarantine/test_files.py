"""The files of the quarantine: what is put is durable, whole and found again."""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.files import Files
from tests.fakes.entries import ANN, BOB, DAY, MESSAGE, NOW, put


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty quarantine."""
    return Files(tmp_path / "quarantine")


def event(state: State | None = None, *recipients: bytes) -> Event:
    """An event of an administrator."""
    return Event(NOW, "ann", state, recipients)


def names(folder: Path) -> list[str]:
    """The files below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@contextmanager
def other_process(code: str, *arguments: str) -> Iterator[None]:
    """Another process has run `code` up to its line `print()`, and ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    yield
    process.communicate()


def test_what_was_put_is_read(files: Files) -> None:
    """The entry gets an ID of its time, and size and digest of the message."""
    entry = put(files)
    assert (entry.size, entry.digest) == (len(MESSAGE), hashlib.sha256(MESSAGE).hexdigest())
    assert files.read(entry.id) == (entry, ())
    with files.message(entry.id) as stream:
        assert stream.read() == MESSAGE
    assert names(files.directory) == [f"new/{entry.id}.entry"]
    assert files.waiting() == [entry.id]


def test_the_message_begins_at_the_offset(files: Files) -> None:
    """What precedes the message in the spool is not stored, and the descriptor's position stays."""
    descriptor = os.memfd_create("spool")
    os.write(descriptor, b"PREFACE" + MESSAGE)
    entry = files.put(put(files), descriptor, 7)
    with files.message(entry.id) as stream:
        assert stream.read() == MESSAGE
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == 7 + len(MESSAGE)
    os.close(descriptor)


@pytest.mark.parametrize("size", [0, 1, 2**17, 2**17 + 1, 3_000_000])
def test_any_size(files: Files, size: int) -> None:
    """Every byte of a message of any size returns."""
    content = os.urandom(size)
    entry = put(files, content)
    with files.message(entry.id) as stream:
        assert stream.read() == content


def test_a_description_that_could_not_be_read_again(files: Files) -> None:
    """Its client keeps the message: an entry has room for 16 MiB of addresses."""
    recipients = tuple(b"\xe4" * 250 + b"%d" % number for number in range(12_000))
    with pytest.raises(StoreError, match="an entry has room for 16777216"):
        put(files, recipients=recipients)
    assert files.waiting() == []


def test_only_the_owner_reads(files: Files) -> None:
    """Folders have mode 0700, files 0600, with any umask."""
    before = os.umask(0)
    try:
        entry = put(files)
        files.record(entry.id, event())
        files.settle([files.read(entry.id)])
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in files.directory.rglob("*") if path.is_dir()} == {"0o700"}
    assert {oct(path.stat().st_mode & 0o777) for path in files.directory.rglob("*") if path.is_file()} == {"0o600"}
    assert oct(files.directory.stat().st_mode & 0o777) == "0o700"


def test_entries_move_to_their_day(files: Files) -> None:
    """An entry that is in the index leaves `new`; a second call changes nothing."""
    entry = put(files)
    for _ in range(2):
        files.settle([files.read(entry.id)])
        assert names(files.directory) == [f"{DAY}/{entry.id}.entry"]
        assert files.read(entry.id).entry == entry
    assert (files.waiting(), files.days(), files.ids(DAY)) == ([], [DAY], [entry.id])


def test_nothing_is_there(files: Files) -> None:
    """A quarantine that does not exist yet is empty."""
    assert (files.waiting(), files.days(), files.ids(DAY)) == ([], [], [])


def test_other_files_are_not_entries(files: Files) -> None:
    """What else is in the folders is left alone."""
    put(files)
    for name in ("x.entry", "01m3250v000000000000.entry.tmp", "01m3250v000000000000.state", ".changed"):
        (files.new / name).touch()
    (files.directory / "lost+found").mkdir()
    assert len(files.waiting()) == 1
    assert files.days() == []


def test_events_are_appended(files: Files) -> None:
    """An event is found again before and after the entry has moved, and `new` shows that the state has changed."""
    entry = put(files)
    files.record(entry.id, event(State.RELEASING, ANN))
    assert names(files.directory) == [f"{DAY}/{entry.id}.state", f"new/{entry.id}.changed", f"new/{entry.id}.entry"]
    files.settle([files.read(entry.id)])
    assert files.waiting() == []
    files.record(entry.id, event(State.RELEASED, ANN))
    assert files.waiting() == [entry.id]
    assert files.read(entry.id).states == {ANN: State.RELEASED, BOB: State.STORED}


def test_a_change_after_the_look_stays_marked(files: Files) -> None:
    """What the index shows is older than the last event: it must be written again."""
    entry = put(files)
    standing = files.read(entry.id)
    files.record(entry.id, event(State.CLEARED))
    files.settle([standing])
    assert files.waiting() == [entry.id]
    files.settle([files.read(entry.id)])
    assert files.waiting() == []


def test_a_torn_line_ends_before_the_next_event(files: Files) -> None:
    """After a crash in the middle of an event the next one is whole."""
    entry = put(files)
    files.record(entry.id, event(State.CLEARED))
    state = files.directory / DAY / f"{entry.id}.state"
    state.write_bytes(state.read_bytes() + b'{"time": 1, "by"')
    files.record(entry.id, event(State.DELETED, ANN))
    assert files.read(entry.id).states == {ANN: State.DELETED, BOB: State.CLEARED}


def test_one_process_holds_a_claim(files: Files) -> None:
    """A second claim fails, from this process or another, until the first ends."""
    entry = put(files)
    with files.claim(entry.id) as first, files.claim(entry.id) as second:
        assert (first, second) == (True, False)
    with files.claim(entry.id) as again:
        assert again


CLAIM = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.flock(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


def test_a_claim_ends_with_its_process(files: Files) -> None:
    """A release that was killed does not hold the entry, also if the entry has moved meanwhile."""
    entry = put(files)
    with other_process(CLAIM, str(files.find(entry.id))):
        files.settle([files.read(entry.id)])
        with files.claim(entry.id) as claimed:
            assert not claimed
    with files.claim(entry.id) as claimed:
        assert claimed


def test_no_claim_on_what_was_deleted(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that is deleted between opening and locking is gone."""
    entry = put(files)

    def late(descriptor: int, operation: int) -> None:
        files.delete(entry.id)
        real(descriptor, operation)

    real = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(EntryError, match=f"no entry '{entry.id}'"), files.claim(entry.id):
        pass


def test_delete(files: Files) -> None:
    """Entry and state are gone; the mark stays for the index, and a second deletion finds nothing."""
    for settled in (False, True):
        entry = put(files)
        files.record(entry.id, event())
        if settled:
            files.settle([files.read(entry.id)])
        assert files.delete(entry.id) > len(MESSAGE)
        assert files.waiting() == ([] if settled else [entry.id])
        files.unmark(entry.id)
        assert names(files.directory) == []
        assert files.delete(entry.id) == 0


@pytest.mark.parametrize("entry_id", ["01m3250v000000000000", "x", "../../../etc/passwd1", "\x1b", ""])
def test_no_such_entry(files: Files, entry_id: str) -> None:
    """One line names the ID, cleaned, and the quarantine."""
    put(files)
    expected = f"no entry {entry_id!r} in the quarantine {files.directory}"
    for call in (files.find, files.read, lambda one: files.record(one, event())):
        with pytest.raises(EntryError) as raised:
            call(entry_id)
        assert str(raised.value) == expected


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda data: data[:10], "does not begin as an entry does"),
        (lambda data: data[:-1], "is damaged: 26 bytes of the message instead of 27"),
        (lambda data: data + b"x", "is damaged: 28 bytes of the message instead of 27"),
        (lambda data: data[:-1] + b"x", "is damaged: the message has another SHA-256 than when it was stored"),
        (lambda data: data.replace(b"entry 1", b"entry 2"), "version 2 of the format is unknown to this miltscan"),
    ],
)
def test_a_damaged_file(files: Files, damage: Callable[[bytes], bytes], expected: str) -> None:
    """No byte of a damaged message is given out; the error names the entry."""
    entry = put(files)
    path = files.find(entry.id)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EntryError) as raised, files.message(entry.id):
        pass
    assert str(raised.value) == f"entry {entry.id}: {expected}"


def test_the_file_of_another_entry(files: Files) -> None:
    """A file that was renamed is not the entry of its name."""
    one, other = put(files), put(files)
    files.find(one.id).rename(files.find(other.id))
    with pytest.raises(EntryError, match=f"entry {other.id}: describes entry {one.id}"):
        files.read(other.id)


@pytest.mark.parametrize("made", [False, True])
def test_the_folder_cannot_be_used(tmp_path: Path, made: bool) -> None:  # noqa: FBT001 - a case
    """The error names the quarantine and the reason."""
    place = tmp_path / "file"
    place.write_text("")
    files = Files(place / "quarantine" if made else place)
    with pytest.raises(StoreError) as raised:
        put(files)
    assert str(raised.value) == f"quarantine {files.directory}: Not a directory"


def test_no_descriptor_is_left(files: Files) -> None:
    """Neither success nor failure leaves a descriptor open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the number is all that counts
    entry = put(files)
    files.read(entry.id)
    files.record(entry.id, event())
    with files.message(entry.id), files.claim(entry.id):
        pass
    files.new.joinpath("bad").mkdir()
    with pytest.raises(EntryError):
        files.read("01m3250v000000000000")
    with pytest.raises(StoreError):
        files.put(entry, -1)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above


def test_a_plain_message_is_read_from_its_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message of any size takes no memory, and reads like a file that begins with it."""
    entry = put(files)
    monkeypatch.setattr(os, "memfd_create", lambda *_: pytest.fail("a copy in memory"))
    with files.message(entry.id) as stream:
        assert stream.read() == MESSAGE
        assert (stream.seek(-4, os.SEEK_END), stream.read()) == (len(MESSAGE) - 4, MESSAGE[-4:])
        assert (stream.seek(2), stream.read(3), stream.seek(1, os.SEEK_CUR)) == (2, MESSAGE[2:5], 6)
        files.delete(entry.id)
        stream.seek(0)
        assert stream.read() == MESSAGE
    assert stream.closed
