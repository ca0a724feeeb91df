"""Edits of headers: what `removals` finds, what several proposers want together, and what a message then has."""

import time
from collections.abc import Sequence

import pytest

from miltscan.core.edits import ChangeHeader, Header, HeaderEdit, InsertHeader, RemoveHeader, edited, in_order, removals

HEADERS: list[Header] = [(b"A", b" 1"), (b"X-Spam", b" 2"), (b"b", b" 3"), (b"x-spam", b" 4"), (b"a", b" 5")]


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([], HEADERS),
        ([InsertHeader("N", "v")], [(b"N", b" v"), *HEADERS]),
        ([InsertHeader("N", "v"), InsertHeader("M", "w\n\tx")], [(b"M", b" w\n\tx"), (b"N", b" v"), *HEADERS]),
        ([RemoveHeader("a", 1)], HEADERS[1:]),
        ([RemoveHeader("A", 2)], HEADERS[:4]),
        ([RemoveHeader("a", 2), RemoveHeader("a", 1)], HEADERS[1:4]),
        ([RemoveHeader("a", 3), RemoveHeader("a", 0), RemoveHeader("c", 1)], HEADERS),
        ([RemoveHeader("a", 1), InsertHeader("a", "n")], [(b"a", b" n"), *HEADERS[1:]]),
        ([ChangeHeader("B", 1, "ü\n x")], [*HEADERS[:2], (b"b", b" \xc3\xbc\n x"), *HEADERS[3:]]),
        ([ChangeHeader("a", 2, "n")], [*HEADERS[:4], (b"a", b" n")]),
        ([ChangeHeader("a", 3, "n"), ChangeHeader("a", 0, "n"), ChangeHeader("c", 1, "n")], HEADERS),
    ],
)
def test_edits_are_made_one_after_the_other(edits: Sequence[HeaderEdit], expected: list[Header]) -> None:
    """A name counts in any case, an index from 1; one that names no header changes nothing."""
    assert edited(HEADERS, edits) == expected


def test_a_header_that_two_proposers_remove_is_removed_once() -> None:
    """The last one of a name first, so that no index moves, and before what is inserted."""
    ours = removals(HEADERS, (b"x-spam",))
    theirs: list[HeaderEdit] = [
        InsertHeader("N", "v"),
        RemoveHeader("x-spam", 1),
        RemoveHeader("A", 1),
        RemoveHeader("a", 2),
    ]
    ordered = in_order([*ours, *theirs])
    assert ordered[-1] == InsertHeader("N", "v")
    assert len(ordered) == 5
    assert edited(HEADERS, ordered) == [(b"N", b" v"), (b"b", b" 3")]


def test_a_header_is_changed_before_others_move_it() -> None:
    """Its index counts on the headers as they were received."""
    ordered = in_order([InsertHeader("a", "n"), RemoveHeader("A", 1), ChangeHeader("A", 2, "c")])
    assert edited(HEADERS, ordered) == [(b"a", b" n"), *HEADERS[1:4], (b"a", b" c")]


def test_thousands_of_removals_are_made_in_linear_time() -> None:
    """Quadratic work would take a minute, in which no other message of the worker is decided."""
    headers = [(b"X-Foo", b" bar"), (b"Subject", b" hello")] * 30_000
    began = time.process_time()
    edits: list[HeaderEdit] = [*removals(headers, (b"x-foo",)), InsertHeader("X-Foo", "ours")]
    assert edited(headers, edits) == [(b"X-Foo", b" ours"), *headers[1::2]]
    assert time.process_time() - began < 5
