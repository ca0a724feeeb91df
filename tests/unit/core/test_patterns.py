"""Addresses and their patterns."""

import pytest

from miltscan.core.patterns import address_keys, pattern


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (
            b"<User@Mail.Example.org>",
            ("user@mail.example.org", "user@", "@mail.example.org", ".mail.example.org", ".example.org", ".org"),
        ),
        (b"<>", ("<>",)),
        (b"", ("<>",)),
        (b"<Postmaster>", ("postmaster", "postmaster@")),
        (b'<"a@b"@c>', ('"a@b"@c', '"a@b"@', "@c", ".c")),
        (b"<\xff@c>", ("\\xff@c", "\\xff@", "@c", ".c")),
    ],
)
def test_the_patterns_of_an_address(path: bytes, keys: tuple[str, ...]) -> None:
    """The most special one first; case does not count."""
    assert address_keys(path) == keys


def test_a_domain_of_many_labels_has_few_patterns() -> None:
    """The work for one address is bounded."""
    assert len(address_keys(b"<a@" + b"x." * 5000 + b"org>")) < 40


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("User@Example.org", "user@example.org"),
        (" <user@example.org> ", "user@example.org"),
        ("@example.org", "@example.org"),
        (".example.org", ".example.org"),
        ("Postmaster@", "postmaster@"),
        ("<>", "<>"),
    ],
)
def test_a_pattern(text: str, expected: str) -> None:
    """Patterns are kept in lower case, without angle brackets, and each is a key of what it names."""
    assert pattern(text) == expected


@pytest.mark.parametrize("text", ["", "example.org", "a b@", "a@b@", "@", ".", "a b@c", "a@b c", "a@b\x1b", "a@<b>"])
def test_what_is_no_pattern(text: str) -> None:
    """A bare domain could be a signature."""
    with pytest.raises(ValueError, match="expected an address"):
        pattern(text)
