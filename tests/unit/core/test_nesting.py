"""How deep files lie, in whichever order they are found."""

import pytest

from miltscan.core.nesting import Nesting


def test_a_message_without_files() -> None:
    """Nothing lies in anything."""
    assert Nesting().deepest == 0


@pytest.mark.parametrize("inner_first", [True, False])
def test_the_deepest_place_of_a_copy_counts(*, inner_first: bool) -> None:
    """An archive that a message has twice is looked into once, at its first place."""
    nesting = Nesting()
    if inner_first:
        nesting.place(b"inner", 0)
        nesting.place_within(b"inner")
    nesting.place(b"outer", 1)
    nesting.place_within(b"outer", b"inner")
    if not inner_first:
        nesting.place(b"inner", 0)
        nesting.place_within(b"inner")
    assert nesting.deepest == 3


def test_an_archive_that_contains_itself() -> None:
    """It ends at a bound, as there is no last one."""
    nesting = Nesting()
    nesting.place(b"quine", 0)
    nesting.place_within(b"quine", b"quine")
    assert nesting.deepest == 40
