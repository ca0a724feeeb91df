"""Addresses and their patterns."""

import pytest

from miltscan.core.patterns import address_keys, pattern
from tests.harness.addresses import SAME_MAILBOX


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
        (b'<"a@b"@c>', ("a@b@c", "a@b@", "@c", ".c", '"a@b"@c')),
        (b"<a+b@c>", ("a+b@c", "a@c", "a+b@", "a@", "@c", ".c")),
        (b"<+b@c>", ("+b@c", "+b@", "@c", ".c")),
        (b"<a%b@c>", ("a%b@c", "a%b@", "@c", ".c", "a@b", "a@", "@b", ".b")),
        (b"<\xff@c>", ("\\xff@c", "\\xff@", "@c", ".c")),
    ],
)
def test_the_patterns_of_an_address(path: bytes, keys: tuple[str, ...]) -> None:
    """The most special one first; case does not count."""
    assert address_keys(path) == keys


@pytest.mark.parametrize("form", SAME_MAILBOX)
def test_the_form_of_an_address_does_not_count(form: str) -> None:
    """Each of them reaches the same mailbox: tests/e2e/test_addresses.py."""
    assert "other@example.test" in address_keys(form.encode())


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        (b"<a b@c>", "a.b@c"),
        (b"<a(x)b@c>", "a.b@c"),
        (b"<a@b(x)d>", "a@b.d"),
        (b"<a.@c>", "a.@c"),
        (b'<(")a(")@c>', "a@c"),
        (b"<a@[IPv6:::1]>", "a@[ipv6:::1]"),
        (b"<@>", "@"),
    ],
)
def test_the_plain_form_of_an_address(path: bytes, plain: str) -> None:
    """It is what sendmail delivers to."""
    assert address_keys(path)[0] == plain


@pytest.mark.parametrize("character", ['"', "(", "\\", "<", "%", "!", " ", "@", ":", ".", "+"])
def test_a_long_hostile_address_has_few_patterns(character: str) -> None:
    """Whatever character it repeats, the work is bounded."""
    assert len(address_keys(b"<a" + character.encode() * 5000 + b"@c>")) < 40


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
