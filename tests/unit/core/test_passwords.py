"""Words of a message that may be passwords, the likeliest first."""

import pytest

from miltscan.core.passwords import passwords_in


@pytest.mark.parametrize(
    ("text", "first"),
    [
        (b"Hello, the password for the file is infected.", "infected"),
        (b"Password: Hunter2!", "Hunter2!"),
        (b"password:abc", "abc"),
        (b"PASSWORD=abc", "abc"),
        ("Das Kennwort lautet „Grün-7“.".encode(), "Grün-7"),
        ("Das Passwort lautet Gr\xfcn7".encode("cp1252"), "Grün7"),
        ("密码\N{FULLWIDTH COLON}1234".encode(), "1234"),
        (b"pwd - 42", "42"),
        (b"See the file. xK9pq23 opens it.", "xK9pq23"),
        (b"The pin (for you): 0042", "0042"),
    ],
)
def test_the_likeliest_word(text: bytes, first: str) -> None:
    """It is among the first few of many."""
    assert first in passwords_in([(b"Some words in front. " * 20 + text, False)], 8)


@pytest.mark.parametrize(
    ("html", "word"),
    [
        (b"<p>Password:</p><td class='x'>se&amp;cret</td>", "se&cret"),
        (b"<style>.password { color: red }</style><b>Passwort</b> ist <i>gr&uuml;n</i>", "grün"),
        (b"password: a<b", "a"),
    ],
)
def test_html(html: bytes, word: str) -> None:
    """Tags are no words, and what stands for a character is that character."""
    assert word in passwords_in([(html, True)], 20)


def test_words_are_few_and_different() -> None:
    """A message of any length costs a bounded number of tries."""
    text = b"password: one one two two " + b" ".join(b"w%d" % number for number in range(10_000))
    found = passwords_in([(text, False), (text, False)], 20)
    assert (len(found), len(set(found)), found[:2]) == (20, 20, ("one", "two"))
    assert passwords_in([(text, False)], 0) == ()
    assert passwords_in([(b"", False)] * 8 + [(b"password: late", False)], 20) == ()


@pytest.mark.parametrize("text", [b"", b"\0\x1b[2J\xff", b"password: " + b"a" * 100, b"\xff\xfe\0\0", b"<" * 1000])
def test_odd_texts_do_no_harm(text: bytes) -> None:
    """No word has a character that is not printable, or is very long."""
    for is_html in (False, True):
        assert all(one.isprintable() and 0 < len(one) <= 64 for one in passwords_in([(text, is_html)], 20))
