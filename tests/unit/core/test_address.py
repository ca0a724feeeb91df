"""Socket addresses as sendmail writes them."""

from contextlib import suppress
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.address import Address, InetAddress, UnixAddress, beyond_loopback, is_loopback, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/miltscan/miltscan.sock", UnixAddress("/run/miltscan/miltscan.sock")),
        ("local:/run/x", UnixAddress("/run/x")),
        ("unix:/" + "x" * 106, UnixAddress("/" + "x" * 106)),
        ("unix:/a:b@c", UnixAddress("/a:b@c")),
        ("inet:8890@127.0.0.1", InetAddress("127.0.0.1", 8890)),
        ("inet:65535@localhost", InetAddress("localhost", 65535)),
        ("inet:8890@[::1]", InetAddress("::1", 8890)),
        ("inet:8890@::1", InetAddress("::1", 8890)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """What the configuration may hold."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/run/x",
        "unix:",
        "unix:run/x",
        "unix:/" + "x" * 107,
        "unix:/" + "é" * 54,
        "inet:",
        "inet:8890",
        "inet:8890@",
        "inet:@localhost",
        "inet:8890@[]",
        "inet:8890@local\0host",
        "unix:/run/\0",
        "inet:0@localhost",
        "inet:65536@localhost",
        "inet:-1@localhost",
        "inet:\N{SUPERSCRIPT TWO}@localhost",
        "inet: 1@localhost",
        "inet6:1@::1",
        "tcp:1@localhost",
        "ftp:1@localhost",
    ],
)
def test_mistakes(text: str) -> None:
    """Anything else is an error that states what was expected."""
    with pytest.raises(ValueError, match="expected"):
        parse_address(text)


@pytest.mark.parametrize("address", [UnixAddress("/run/x"), InetAddress("127.0.0.1", 25), InetAddress("::1", 25)])
def test_text_of_an_address_can_be_parsed(address: Address) -> None:
    """What is printed can be put into a configuration."""
    assert parse_address(str(address)) == address


LOOPBACK = [
    ("localhost", True),
    ("LocalHost", True),
    ("127.0.0.1", True),
    ("127.9.9.9", True),
    ("[127.0.0.1]", True),
    ("::1", True),
    ("[IPv6:::1]", True),
    ("0.0.0.0", False),  # noqa: S104 - nothing is bound
    ("192.0.2.1", False),
    ("localhost.example.org", False),
    ("mx.example.org", False),
    ("", False),
]


def test_loopback() -> None:
    """Only an address of loopback, or the name localhost, is this host alone."""
    assert [host for host, expected in LOOPBACK if is_loopback(host) is not expected] == []


@given(st.text() | st.text().map("inet:".__add__) | st.text().map("unix:/".__add__))
def test_any_other_text_is_a_value_error(text: str) -> None:
    """No text makes it raise anything else, and what it takes can be given to a socket."""
    with suppress(ValueError):
        assert "\0" not in str(parse_address(text))


def test_loopback_sockets() -> None:
    """A unix socket and a TCP socket on loopback can be reached only from this host."""
    texts = {"unix:/run/a": True, "inet:1@localhost": True, "inet:1@[::1]": True, "inet:1@192.0.2.1": False}
    assert {text: parse_address(text).is_loopback for text in texts} == texts
    here, there = ip_network("127.0.0.0/8"), ip_network("0.0.0.0/0")
    assert beyond_loopback([here, there]) == [there]
