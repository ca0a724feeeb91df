"""Sources of values: how they are named, what their files hold, and under which keys a value is looked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.lookup import (
    FileValues,
    Kind,
    access_keys,
    file_lines,
    has_key,
    map_entries,
    source_mistake,
    text_map,
)
from miltscan.core.patterns import pattern

VALUES = FileValues(
    [
        "@partner.example",
        ".gov.example",
        "A@b.example",
        "abuse@",
        "<>",
        "192.0.2.0/24",
        "2001:db8::/32",
        "198.51.100.7",
        "Eicar",
    ]
)


@pytest.mark.parametrize("text", ["file:/etc/miltscan/partners", "access:MiltscanAllow"])
def test_a_source(text: str) -> None:
    """Both kinds of it are known by their beginning."""
    assert source_mistake(text) is None


@pytest.mark.parametrize("text", ["file:partners", "file:/a\x07", "access:", "access:a b", "access:a:b", "ldap:x", ""])
def test_no_source(text: str) -> None:
    """The mistake says what is expected."""
    assert source_mistake(text) == "expected file:/absolute/path, or access:TAG with a tag of letters and digits"


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (Kind.ADDRESS, "x@partner.example", True),
        (Kind.ADDRESS, "x@mail.partner.example", False),
        (Kind.ADDRESS, "x@a.gov.example", True),
        (Kind.ADDRESS, "a@b.example", True),
        (Kind.ADDRESS, "abuse", True),
        (Kind.ADDRESS, "abuse@any.example", True),
        (Kind.ADDRESS, "<>", True),
        (Kind.ADDRESS, "", True),
        (Kind.HOST, "gov.example", True),
        (Kind.HOST, "mx.gov.example", True),
        (Kind.HOST, "partner.example", False),
        (Kind.NETWORK, "192.0.2.255", True),
        (Kind.NETWORK, "192.0.3.0", False),
        (Kind.NETWORK, "IPv6:2001:db8:1::1", True),
        (Kind.NETWORK, "198.51.100.7", True),
        (Kind.NETWORK, "local", False),
        (Kind.TEXT, "EICAR", True),
        (Kind.TEXT, "Eicar.2", False),
    ],
)
def test_the_values_of_a_file(kind: Kind, value: str, found: bool) -> None:  # noqa: FBT001 - a table
    """They match as the same literals in a rule do."""
    assert VALUES.has(kind, value) is (found or None)


def test_the_lines_of_a_file() -> None:
    """Comments and blank lines are none; a mistake names its line."""
    assert file_lines(b"# who\r\n\r\n @a.example \n.b.example", [pattern]) == ["@a.example", ".b.example"]
    with pytest.raises(ValueError, match="line 2: expected an address"):
        file_lines(b"@a.example\nb.example\n", [pattern])
    with pytest.raises(ValueError, match="line 1: expected UTF-8"):
        file_lines(b"\xff", [])


@pytest.mark.parametrize(
    ("kind", "value", "keys"),
    [
        (
            Kind.ADDRESS,
            "A+c@b.Example",
            ["a+c@b.example", "a+*@b.example", "a@b.example", "a+c@", "a+*@", "a@", "b.example", "example"],
        ),
        (Kind.ADDRESS, "a@b.example", ["a@b.example", "a@", "b.example", "example"]),
        (Kind.ADDRESS, "a@[192.0.2.7]", ["a@[192.0.2.7]", "a@", "[192.0.2.7]", "[192.0.2]", "[192.0]", "[192]"]),
        (Kind.ADDRESS, "<>", ["<>"]),
        (Kind.ADDRESS, "Postmaster", ["postmaster@"]),
        (Kind.ADDRESS, "a+b", ["a+b@", "a+*@", "a@"]),
        (Kind.HOST, "mx.b.example", ["mx.b.example", "b.example", "example"]),
        (Kind.NETWORK, "192.0.2.7", ["192.0.2.7", "192.0.2", "192.0", "192"]),
        (Kind.NETWORK, "local", []),
        (Kind.TEXT, "Eicar", ["eicar"]),
    ],
)
def test_the_keys_of_the_access_map(kind: Kind, value: str, keys: list[str]) -> None:
    """In the order in which sendmail looks for them (tests/e2e/test_sources.py compares them with it)."""
    assert [*access_keys(kind, value)] == keys


def test_the_keys_of_an_ipv6_address() -> None:
    """As sendmail writes them in its macros, without leading zeros."""
    keys = (*access_keys(Kind.NETWORK, "IPv6:2001:db8::7"),)
    assert keys[0] == "ipv6:2001:db8:0:0:0:0:0:7"
    assert keys[-2:] == ("ipv6:2001:db8", "ipv6:2001")


@pytest.mark.parametrize("read", [map_entries, text_map])
def test_the_first_key_that_is_there_decides(read: object) -> None:
    """SKIP ends the search without a match, so that an exception from a domain can be named."""
    assert callable(read)
    entries = read(
        b"From:no.b.example\tSKIP\nfrom:b.example\tOK\nFrom:a@\tREJECT\nTo:c.example\tOK\nconnect:192.0.2\tx y\nd.e\tOK"
    )
    assert has_key(entries, "From", Kind.ADDRESS, "x@b.example")
    assert has_key(entries, "FROM", Kind.ADDRESS, "x@yes.b.example")
    assert has_key(entries, "From", Kind.ADDRESS, "x@no.b.example") is False
    assert has_key(entries, "From", Kind.ADDRESS, "a+b@no.b.example")
    assert has_key(entries, "From", Kind.ADDRESS, "a@other.example")
    assert has_key(entries, "From", Kind.ADDRESS, "x@c.example") is None
    assert not has_key(entries, "From", Kind.ADDRESS, "x@d.e")
    assert has_key(entries, "Connect", Kind.NETWORK, "192.0.2.200")


@given(st.binary(max_size=200))
def test_any_bytes_can_be_read(data: bytes) -> None:
    """What a broken map prints is no reason for an exception."""
    map_entries(data)
    text_map(data)


@given(st.sampled_from(Kind), st.text(max_size=60))
def test_asking_never_raises(kind: Kind, value: str) -> None:
    """A value comes from the message."""
    VALUES.has(kind, value)
    assert len([*access_keys(kind, value)]) <= 40
    assert has_key({}, "x", kind, value) is None
