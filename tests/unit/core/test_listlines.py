"""The lines of the file of the lists: what is written is read, and all else is broken, line by line."""

import json
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.listlines import FIRST, added_line, expired_line, read_lists, removed_line
from tests.fakes.list_entries import listed

ENTRY = listed(
    "deny",
    "7k2m9q4w",
    signature="Win.X",
    digest="5a" * 32,
    sender="@example.org",
    recipient=".example.test",
    client=ip_network("2001:db8::/32"),
    authenticated=True,
    until=2e9,
)
OTHER = listed(list_id="00000001", signature='a "\\ \udcff\x1b\n')


def file(*lines: bytes) -> bytes:
    """A file with these lines."""
    return FIRST + b"".join(lines)


def test_what_is_written_is_read() -> None:
    """Every field, and any text."""
    lists = read_lists(file(added_line(ENTRY), added_line(OTHER)))
    assert (lists.entries, lists.broken) == ((ENTRY, OTHER), ())
    assert added_line(OTHER).count(b"\n") == 1


def test_an_entry_that_was_removed_or_has_expired() -> None:
    """It is gone, in whichever order the lines are; an ID that is unknown is no fault."""
    lines = [added_line(ENTRY), added_line(OTHER), removed_line(ENTRY.id, 1, "a", "b"), expired_line("zzzzzzzz", 1)]
    assert read_lists(file(*lines)).entries == (OTHER,)
    assert read_lists(file(*reversed(lines))).entries == (OTHER,)
    assert read_lists(file(*lines, expired_line(OTHER.id, 1))).entries == ()


def test_an_id_is_used_once() -> None:
    """A second line with the ID of an entry does not change the entry."""
    assert read_lists(file(added_line(OTHER), added_line(listed(list_id=OTHER.id, sender=".org")))).entries == (OTHER,)


def test_no_file_and_an_empty_one() -> None:
    """Both mean empty lists."""
    assert not read_lists(b"")


@pytest.mark.parametrize("data", [b"\n", b"x", FIRST[:-1], FIRST.replace(b"1", b"2"), added_line(ENTRY)])
def test_another_format(data: bytes) -> None:
    """A file that does not begin with our first line is not read at all."""
    if data == FIRST[:-1]:  # the first line is still being written
        assert not read_lists(data).entries
        return
    with pytest.raises(ValueError, match="does not begin"):
        read_lists(data)


def changed(**fields: object) -> bytes:
    """The line of ENTRY with other fields; None removes one."""
    data = json.loads(added_line(ENTRY)) | fields
    return json.dumps({key: value for key, value in data.items() if value is not None}).encode() + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"1\n",
        b"null\n",
        b"\xff\n",
        b"[" * 3000 + b"\n",
        added_line(ENTRY)[:-9] + b"\n",
        changed(event="changed"),
        changed(id="7K2M9Q4W"),
        changed(id="../../x"),
        changed(id=None),
        changed(list="both"),
        changed(time="now"),
        changed(time=True),
        changed(time=float("nan")),
        changed(time=-1),
        changed(until=1e99),
        changed(until=None, untill=5),
        changed(by=None),
        changed(reason=3),
        changed(signature=""),
        changed(sender=""),
        changed(sender="@Example.org"),
        changed(recipient="example.test"),
        changed(digest="5A" * 32),
        changed(client=""),
        changed(client="192.0.2.1/24"),
        changed(client=None, clients="192.0.2.0/24"),
        changed(authenticated=False),
        changed(signature=None, digest=None, sender=None),
        changed(reason="x" * 5000),
        removed_line(ENTRY.id, 1, "a", "b").replace(b'"reason"', b'"why"'),
        expired_line("x", 1),
    ],
    ids=lambda line: line[:40],
)
def test_a_broken_line_is_skipped(line: bytes) -> None:
    """The other lines count; the number of the broken one is known. A term that is not understood breaks the line."""
    lists = read_lists(file(added_line(OTHER), line, added_line(listed(list_id="00000002", sender="@a"))))
    assert [one.id for one in lists.entries] == [OTHER.id, "00000002"]
    assert lists.broken == (3,)


def test_a_line_that_is_being_written() -> None:
    """Text without a line end is no line yet, and not broken."""
    data = file(added_line(OTHER), added_line(ENTRY))
    for end in range(len(data) - len(added_line(ENTRY)), len(data)):
        lists = read_lists(data[:end])
        assert (lists.entries, lists.broken) == ((OTHER,), ())


@given(st.binary(max_size=200))
def test_any_line_is_read_or_broken(line: bytes) -> None:
    """No text of a file raises, or adds what is not the entry of a list."""
    lists = read_lists(file(line.replace(b"\n", b" ") + b"\n", added_line(OTHER)))
    assert lists.entries[-1] == OTHER
    assert len(lists.entries) + len(lists.broken) == 2
