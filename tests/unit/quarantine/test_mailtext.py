"""Text of others in notices and summaries."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.quarantine.mailtext import WIDTH, fill, hang, mail_address, shown_size, shown_text

LINK = re.compile(
    r"(?i)[a-z]+://|www\.\S|\S\.[a-z]{2}|\S[\u3002\uff0e\uff61][a-z]{2}|(?<!\[)\\\\\w|\b(mailto|tel|sms):\S"
)
"""What mail programs make a link of, at least."""
TEXT = st.text() | st.lists(
    st.sampled_from(
        ["http://", "www.", "evil", ".com", "a@b.org", "\\\\", "\u202e", "\r\n", "<b>", ":", ".", "\u3002", " "]
    )
).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://www.evil.com/pay?x=1", "http[:]//www[.]evil[.]com/pay?x=1"),
        ("WWW.1a.de", "WWW[.]1a[.]de"),
        ("Jo <jo@mx.example.org>", "Jo <jo@mx[.]example[.]org>"),
        ("https://evil\u3002com evil\uff0ecom", "https[:]//evil[\u3002]com evil[\uff0e]com"),
        ("tel:+4930123 mailto:jo", "tel[:]+4930123 mailto[:]jo"),
        (r"\\host\share", r"[\\]host\share"),
        ("пример.рф", "пример[.]рф"),
        ("Heuristics.Phishing.Email", "Heuristics[.]Phishing[.]Email"),
        ("at 12:30, version 1.5, 10.00 EUR ... and so on.", "at 12:30, version 1.5, 10.00 EUR ... and so on."),
        ("Re: hello", "Re: hello"),
    ],
)
def test_links(text: str, expected: str) -> None:
    """Hosts, addresses, schemes and shares get brackets; everyday punctuation gets none."""
    assert shown_text(text) == expected


def test_controls_and_directions() -> None:
    """What is not printable becomes an escape: no line ends, no terminal codes, no change of direction."""
    assert shown_text(b"a\r\nBcc: x\x1b[31m\xff") == r"a\r\nBcc: x\x1b[31m\xff"
    assert shown_text("exe\u202egpj\u2066\u200b") == r"exe\u202egpj\u2066\u200b"


def test_marks() -> None:
    """A heap of combining characters is cut, so that it does not cover other lines."""
    assert shown_text("Z" + "\u0351" * 40 + "x") == "Z" + "\u0351" * 4 + "x"


def test_bounds() -> None:
    """Long text is cut, an escape counts as its characters."""
    assert shown_text("x" * 5000) == "x" * 119 + "…"
    assert len(shown_text("\u202e" * 5000)) == 120


@given(TEXT)
def test_no_text_has_a_link(text: str) -> None:
    """Whatever the text, nothing of it is a link, and all of it is printable and short."""
    found = shown_text(text)
    assert LINK.search(found) is None
    assert found.isprintable()
    assert len(found) <= 3 * 120


def test_addresses() -> None:
    """Addresses are without angle brackets; the empty sender is named."""
    assert mail_address(b"<jo@example.org>") == "jo@example[.]org"
    assert mail_address(b"jo") == "jo"
    assert mail_address(b"<>") == "<>"
    assert mail_address(b"<a\xff\r\n@b>") == r"a\xff\r\n@b"


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (10 * 1024, "10 KiB"),
        (1536 * 1024, "1.5 MiB"),
        (5 * 2**40, "5120 GiB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    """Sizes are in steps of 1,024, with one digit after the point where that is the second one."""
    assert shown_size(count) == expected


def test_lines() -> None:
    """Text breaks at blanks, long words anywhere; later lines are indented."""
    assert hang("aaa bbb ccc", 2, 9) == "aaa bbb\n  ccc"
    assert hang("abcdefghijk", 2, 7) == "abcde\n  fghij\n  k"
    assert hang("日本語", 0, 4) == "日本\n語"
    assert hang("", 10) == ""
    assert fill("a\n  b\n\n c ") == "a b c"


def columns(line: str) -> int:
    """The columns of a terminal."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" and not unicodedata.combining(one) for one in line)
    return wide + sum(not unicodedata.combining(one) for one in line)


@given(TEXT.map(shown_text))
def test_lines_are_short_and_lose_nothing(text: str) -> None:
    """No line is wider than allowed, and only blanks are lost."""
    lines = hang(text, 11).split("\n")
    assert all(columns(line) <= WIDTH for line in lines)
    assert all(line.startswith(" " * 11) for line in lines[1:])
    assert "".join("".join(lines).split()) == "".join(text.split())
