"""Hostile bytes made fit for a person or a protocol line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.text import printable_ascii, readable

any_text = st.text(st.characters(exclude_categories=[]))  # lone surrogates too


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain text", "plain text"),
        ("Grüße".encode(), "Grüße"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"\x1b[2J", r"\x1b[2J"),
        (b"a\r\nb\0", r"a\r\nb\x00"),
        ("\u202eexe.txt", r"\u202eexe.txt"),
        ("\x9b2J", r"\x9b2J"),
        ("\udcff", r"\udcff"),
        ("a\u2028b", r"a\u2028b"),
        ("", ""),
    ],
)
def test_readable(data: bytes | str, expected: str) -> None:
    """What a terminal or a JSON encoder could trip over becomes an escape, all else stays."""
    assert readable(data) == expected


@pytest.mark.parametrize(("limit", "expected"), [(6, "abcdef"), (5, "abcd…"), (1, "…")])
def test_readable_is_cut(limit: int, expected: str) -> None:
    """The cut is shown."""
    assert readable("abcdef", limit) == expected


def test_readable_bytes_are_cut_by_characters() -> None:
    """The bound counts characters, also of text in bytes with four of them for each character."""
    wide = "\N{GRINNING FACE}"
    for limit in (9, 10):
        assert readable((wide * limit).encode(), limit) == wide * limit
        assert readable((wide * (limit + 1)).encode(), limit) == wide * (limit - 1) + "…"


def test_default_bounds() -> None:
    """A log field has at most 1,000 characters, a text in a reply at most 200."""
    assert [readable("x" * 1000), readable("x" * 1001)] == ["x" * 1000, "x" * 999 + "…"]
    assert printable_ascii("x" * 201) == "x" * 200


@given(st.binary() | any_text)
def test_readable_is_total(data: bytes | str) -> None:
    """For any input the text is printable and can be encoded."""
    text = readable(data)
    assert text.isprintable()
    assert text.encode().decode() == text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"Win.Test.EICAR_HDB-1", "Win.Test.EICAR_HDB-1"),
        ("Win.Test", "Win.Test"),
        (b"a\r\n550 b", "a??550 b"),
        ("é\t~ \x7f", "??~ ?"),
        (b"\xff\x80", "??"),
        ("\udcff", "?"),
    ],
)
def test_printable_ascii(data: bytes | str, expected: str) -> None:
    """One question mark for each character that a reply may not hold."""
    assert printable_ascii(data) == expected


@given(st.binary() | any_text, st.integers(0, 300))
def test_printable_ascii_is_total(data: bytes | str, limit: int) -> None:
    """For any input only printable ASCII of at most the limit is left."""
    text = printable_ascii(data, limit)
    assert len(text) <= limit
    assert all(" " <= character <= "~" for character in text)
