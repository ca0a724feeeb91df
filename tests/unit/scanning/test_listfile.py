"""The file of the lists on disk: additions, removals, expiry, two writers, full disks, what cannot be read."""

import json
import multiprocessing
import os
import resource
import stat
from pathlib import Path

import pytest

from miltscan.core.listlines import FIRST
from miltscan.core.lists import LIST_ID, Lists
from miltscan.errors import ListError
from miltscan.scanning.listfile import ListFile
from tests.fakes.list_entries import listed

NEW = listed(list_id="", signature="Win.X")


@pytest.fixture
def file(tmp_path: Path) -> ListFile:
    """A file that does not exist yet, nor its folder."""
    return ListFile(tmp_path / "state" / "lists.jsonl")


def test_without_a_file_the_lists_are_empty(file: ListFile) -> None:
    """That is no fault."""
    assert (file.read(), file.state()) == (Lists(), None)


def test_an_addition_and_a_removal(file: ListFile) -> None:
    """The first one makes folder and file, which only their owner may read; the history stays."""
    first, second = file.add(NEW), file.add(NEW)
    assert LIST_ID.fullmatch(first.id)
    assert first.id != second.id
    assert file.read().entries == (first, second)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.remove(first.id[:6], 5.0, "root", "why") == first
    assert file.read().entries == (second,)
    lines = [json.loads(line) for line in file.path.read_bytes().splitlines()]
    assert [line.get("event") for line in lines] == [None, "added", "added", "removed"]
    assert (lines[3]["by"], lines[3]["reason"], lines[3]["time"]) == ("root", "why", 5.0)


@pytest.mark.parametrize("text", ["", "u", "0" * 9, "\x1b[2J"])
def test_an_id_that_names_no_entry(file: ListFile, text: str) -> None:
    """Nothing is written, not even a line."""
    file.add(NEW)
    before = file.path.read_bytes()
    with pytest.raises(ListError, match="no entry of the lists") as failure:
        file.remove(text, 5.0, "root", "why")
    assert "\x1b" not in str(failure.value)
    assert file.path.read_bytes() == before


def test_an_id_that_names_two_entries(file: ListFile) -> None:
    """The user must be more exact."""
    for number in (1, 2):
        file.add(listed(list_id=f"aaaaaaa{number}", signature="X"))
    with pytest.raises(ListError, match="2 entries have an ID that begins so"):
        file.remove("aaaa", 5.0, "root", "why")


def test_expiry_is_recorded_once(file: ListFile) -> None:
    """The second worker finds nothing to record."""
    file.add(NEW)
    ends = file.add(listed(list_id="", sender="@a", until=10.0))
    assert list(file.expire(9.9)) == []
    assert list(file.expire(10.0)) == [ends]
    before = file.path.read_bytes()
    assert list(file.expire(11.0)) == []
    assert file.path.read_bytes() == before
    assert [one.signature for one in file.read().entries] == ["Win.X"]


def test_an_entry_that_is_too_long(file: ListFile) -> None:
    """A line that no reader would take is not written."""
    with pytest.raises(ListError, match="too long"):
        file.add(listed(list_id="", signature="x" * 5000))
    assert file.read() == Lists()


def _add_many(path: Path, name: str) -> None:
    for number in range(50):
        ListFile(path).add(listed(list_id="", signature=f"{name}{number}"))


def test_two_writers_at_once(file: ListFile) -> None:
    """No line is lost or mixed with another, and the first line is there once."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add_many, args=(file.path, name)) for name in "ab"]
    for one in writers:
        one.start()
    for one in writers:
        one.join(60)
    lists = file.read()
    assert (len(lists.entries), lists.broken) == (100, ())
    assert len({one.id for one in lists.entries}) == 100
    assert file.path.read_bytes().count(FIRST) == 1


def test_a_torn_line_ends_at_the_next_addition(file: ListFile) -> None:
    """What a crash left becomes a broken line; the new entry is whole."""
    file.add(NEW)
    with file.path.open("ab") as raw:
        raw.write(b'{"event": "added", "ti')
    assert file.read().broken == ()
    added = file.add(NEW)
    lists = file.read()
    assert (len(lists.entries), lists.entries[-1], lists.broken) == (2, added, (3,))


def _add_with_little_room(path: Path, room: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        ListFile(path).add(NEW)
    except ListError as error:
        assert "File too large" in str(error)  # noqa: PT017 - in another process
        os._exit(3)


def test_a_full_disk_leaves_no_half_entry(file: ListFile) -> None:
    """The kernel takes a part of the line and then no more: the file is as before, and the command fails."""
    file.add(NEW)
    before = file.path.read_bytes()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=_add_with_little_room, args=(file.path, len(before) + 20))
    child.start()
    child.join(60)
    assert child.exitcode == 3
    assert file.path.read_bytes() == before


def test_another_format_is_not_touched(file: ListFile) -> None:
    """A file of a newer version, or not ours, is neither read nor changed."""
    file.path.parent.mkdir()
    file.path.write_bytes(b'{"format": "miltscan lists", "version": 2}\n')
    for step in (file.read, lambda: file.add(NEW), lambda: file.expire(9e9)):
        with pytest.raises(ListError, match="does not begin with the line"):
            step()
    assert file.path.stat().st_size == 43


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """One line with the path, what is wrong and what is expected."""
    with pytest.raises(ListError, match=r"Is a directory; lists\.file must be a file of miltscan's user"):
        ListFile(tmp_path).read()
    with pytest.raises(ListError, match="Not a directory"):
        ListFile(Path("/dev/null/state/lists.jsonl")).add(NEW)
