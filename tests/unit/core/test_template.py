"""Texts with placeholders: which are valid, and that a hostile value stays a text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.template import PLACEHOLDERS, Template

VALUES = dict.fromkeys(PLACEHOLDERS, "x") | {"signature": "Eicar", "rule": "a rule"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{signature} by {rule}", "Eicar by a rule"),
        ("{{{signature}}}", "{Eicar}"),
        ("100 % {{}}", "100 % {}"),
    ],
)
def test_a_text_is_filled(text: str, filled: str) -> None:
    """Doubled braces are braces."""
    assert Template.parse(text).fill(VALUES, 100) == filled


@pytest.mark.parametrize("text", ["{", "}", "{unknown}", "{}", "{0}", "{size:>9}", "{size!r}", "{size.a}", "a\nb", "ä"])
def test_a_text_that_is_refused(text: str) -> None:
    """The error says what is expected."""
    with pytest.raises(ValueError, match="expected"):
        Template.parse(text)


@given(st.text(max_size=300), st.integers(1, 50))
def test_a_value_stays_printable_and_short(value: str, limit: int) -> None:
    """Whatever a message has in it; a value with braces is no placeholder."""
    text = Template.parse("{sender}{sender}").fill(VALUES | {"sender": value}, limit)
    assert len(text) <= limit
    assert text.isascii()
    assert text.isprintable() or not text
