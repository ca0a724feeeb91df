"""Patterns with `*`."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.wildcards import Glob


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("Heuristics.*", "heuristics.Phishing", True),
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "acb", False),
        ("*.doc*", "x.docx", True),
        ("a?c", "abc", False),
        ("[ab]", "a", False),
        ("ab*ab", "abab", True),
        ("ab*ab*ab", "abab", False),
    ],
)
def test_a_pattern_and_a_text(pattern: str, text: str, expected: bool) -> None:  # noqa: FBT001 - a table
    """Only `*` is special, and case does not count."""
    assert Glob(pattern).matches(text) is expected


@given(st.text("ab*.", max_size=8), st.text("ab.", max_size=12))
def test_it_matches_as_a_regular_expression_would(pattern: str, text: str) -> None:
    """The search is greedy, and finds what backtracking would find."""
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert Glob(pattern).matches(text) is bool(re.fullmatch(expression, text))
