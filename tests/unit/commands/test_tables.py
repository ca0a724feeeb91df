"""Tables and facts: no line is wider than the terminal, and nothing in a cell controls it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from miltscan.commands.tables import Column, counted, facts, fit, size_text, table, time_text, wrapped

COLUMNS = (Column("ID"), Column("SIZE", right=True), Column("SUBJECT"))
TEXTS = st.text() | st.text(alphabet="a 日\u0301\u202e\x1b", max_size=2000)


def test_columns_are_aligned_by_the_width_of_their_characters() -> None:
    """A wide character takes two columns; numbers are aligned to the right."""
    rows = [("日本", "5 B", "one"), ("a", "10 KiB", "two")]
    assert [*table(COLUMNS, rows, 60)] == [
        "ID      SIZE  SUBJECT",
        "日本     5 B  one",
        "a     10 KiB  two",
    ]


def test_the_last_column_is_cut() -> None:
    """A text that does not fit ends in …, and blanks at the end of a line are left out."""
    rows = [("a", "1 B", "x" * 100), ("b", "1 B", "")]
    assert [*table(COLUMNS, rows, 20)][1:] == ["a    1 B  xxxxxxxxx…", "b    1 B"]


@given(rows=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9), TEXTS)))
def test_no_row_is_too_wide_or_hostile(rows: list[tuple[str, str, str]]) -> None:
    r"""Escapes are counted, too: `\x1b` takes four columns."""
    for line in table(COLUMNS, rows, 200):
        assert cell_len(line) <= 200
        assert line.isprintable()


@given(text=TEXTS)
def test_no_fact_is_too_wide_or_hostile(text: str) -> None:
    """A value goes on below itself, in the same column."""
    lines = [*facts([("subject", text), ("none", "")], 60)]
    assert all(cell_len(line) <= 60 and line.isprintable() for line in lines)
    assert all(line.startswith("  subject  " if line is lines[0] else " " * 11) for line in lines)


@given(text=TEXTS, width=st.integers(2, 80))
def test_a_text_that_is_cut_fits(text: str, width: int) -> None:
    """Whatever it contains, and however long it is."""
    assert cell_len(fit(text, width)) <= width
    assert all(cell_len(line) <= width for line in wrapped(text, width))


def test_a_word_longer_than_a_line_is_broken() -> None:
    """Nothing of it is lost."""
    assert [*wrapped("one " + "日" * 7, 5)] == ["one", "日日", "日日", "日日", "日"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (30_000, "29 KiB"),
        (1_048_575, "1.0 MiB"),
        (2**50, "1024 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    """The unit is the one in which the number is short."""
    assert size_text(size) == text


@pytest.mark.usefixtures("utc")
def test_times() -> None:
    """Local time, as in the lines of `trace`."""
    assert time_text(1_764_375_600) == "2025-11-29 00:20"
    assert time_text(1_764_375_600.9, seconds=True) == "2025-11-29 00:20:00"


@pytest.mark.parametrize(("number", "text"), [(0, "0 entries"), (1, "1 entry"), (2000, "2,000 entries")], ids=str)
def test_a_number_has_its_noun(number: int, text: str) -> None:
    """One of them, or several."""
    assert counted(number, "entry", "entries") == text
