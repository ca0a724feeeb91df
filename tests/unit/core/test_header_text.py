"""Header fields as a person reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.header_text import LONGEST, header_text, subject_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b" plain", "plain"),
        (b" folded\r\n\t over  lines", "folded over lines"),
        (b" =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n an =?utf-8?b?YWxsZQ==?=", "Grüße an alle"),
        (b" =?iso-8859-1?q?=E9t=E9?=", "été"),
        ("Grüße".encode(), "Grüße"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b" =?nonsense?q?a?=", "=?nonsense?q?a?="),
        (b" =?utf-8?b?a?=", "=?utf-8?b?a?="),
        (b" =?utf-8?q?=1B[2J=E2=80=AE?=", "\\x1b[2J\\u202e"),
        (b" =?rot13?q?a?=", "=?rot13?q?a?="),
        (b"", ""),
    ],
)
def test_a_field_is_decoded_and_clean(value: bytes, text: str) -> None:
    """Encoded words are decoded, broken ones are shown as they are, and nothing controls a terminal."""
    assert header_text([(b"To", b"x"), (b"SUBJECT", value), (b"Subject", b"second")], b"subject") == text


def test_a_field_that_is_missing_is_empty() -> None:
    """A message need not have a subject."""
    assert header_text([(b"To", b"x")], b"subject") == ""


@given(st.binary() | st.text("=?qbQB utf-8\n").map(str.encode))
def test_any_field_has_a_text(value: bytes) -> None:
    """It is printable and bounded."""
    text = header_text([(b"subject", value)], b"subject")
    assert text.isprintable()
    assert len(text) <= LONGEST


def test_a_long_field_costs_little() -> None:
    """Only its beginning is looked at."""
    for value in (b"=?utf-8?q?" * 100_000, b"\0" * 100_000):
        assert len(header_text([(b"subject", value)], b"subject")) == LONGEST


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (b"Subject: one\r\nSubject: two\r\n\r\n", "one"),
        (b"To: a\r\nSUBJECT : one\r\n\ttwo\r\nFrom: b\r\n\r\n", "one two"),
        (b"To: a\nSubject:=?utf-8?q?gr=C3=BCn?=\n\nbody", "grün"),
        (b"To: a\r\n\r\nSubject: of the body\r\n", ""),
        (b"X-Subject: other\r\n\r\n", ""),
        (b"subject:", ""),
        (b"", ""),
    ],
)
def test_the_subject_of_a_message(message: bytes, subject: str) -> None:
    """The first one of its header."""
    assert subject_of(message) == subject


@given(st.binary())
def test_any_message_has_a_subject(message: bytes) -> None:
    """Or none; nothing raises."""
    subject_of(message)
    subject_of(b"Subject:" + message)
