"""Sockets, networks, URLs and paths: text to value and back."""

from ipaddress import ip_network

import pytest
from pydantic import TypeAdapter, ValidationError

from miltscan.config import places
from miltscan.config.units import Notation
from miltscan.core.address import InetAddress, UnixAddress


@pytest.mark.parametrize(
    ("notation", "text", "value"),
    [
        (places.LISTEN, "127.0.0.1:9464", InetAddress("127.0.0.1", 9464)),
        (places.LISTEN, "[::1]:9464", InetAddress("::1", 9464)),
        (places.LISTEN, "off", None),
        (places.FOLDER, "/var/spool/miltscan", "/var/spool/miltscan"),
        (places.ADDRESS, "unix:/run/a", UnixAddress("/run/a")),
        (places.NO_ADDRESS, "", None),
        (places.NETWORK, "192.0.2.0/24", ip_network("192.0.2.0/24")),
        (places.NETWORK, "::1", ip_network("::1")),
        (places.FILE, "", ""),
        (places.MAILBOX, "a@example.test", "a@example.test"),
    ],
)
def test_a_place_is_read_and_shown(notation: Notation[object], text: object, value: object) -> None:
    """Each notation shows a place in the form that it reads."""
    assert value == notation.parse(text)
    assert text == notation.show(value)


@pytest.mark.parametrize(
    ("notation", "text"),
    [
        (places.LISTEN, "9464"),
        (places.LISTEN, "127.0.0.1:99999"),
        (places.LISTEN, 9464),
        (places.FOLDER, "spool"),
        (places.FOLDER, "/a\0b"),
        (places.ADDRESS, "/run/a"),
        (places.INET, "unix:/run/a"),
        (places.NETWORK, 1),
        (places.NETWORK, "mx.example.test"),
        (places.NETWORK, "192.0.2.1/24"),
        (places.NETWORK, "fe80::1%eth0"),
        (places.FILE, "key"),
        (places.MAILBOX, "a"),
    ],
)
def test_a_wrong_place_is_refused(notation: Notation[object], text: object) -> None:
    """The error text of every wrong place names what is expected."""
    with pytest.raises(ValueError, match=r"^expected "):
        notation.parse(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", ""),
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://[::1]:4318/", "https://[::1]:4318/v1/traces"),
        ("https://collector.example.test/tenant/v1/traces", "https://collector.example.test/tenant/v1/traces"),
    ],
)
def test_a_collector_has_the_usual_path(text: str, url: str) -> None:
    """A URL without a path gets the path of the protocol."""
    assert places.COLLECTOR.parse(text) == url
    assert places.COLLECTOR.parse(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:4318",
        "ftp://127.0.0.1/",
        "http://",
        "http://a:99999/",
        "http://a:0/",
        "http://user:secret@a/",
        "http://[a/",
        "http://a/?b",
        "http://a/\n",
        "http://ä/",
        4318,
        None,
    ],
)
def test_a_wrong_collector_is_refused(text: object) -> None:
    """A password belongs in the environment, where `miltscan config` does not print it."""
    with pytest.raises(ValueError, match="expected a URL"):
        places.COLLECTOR.parse(text)


def test_lists_of_places() -> None:
    """A list has at least one item; an address stands in it once."""
    networks, addresses = TypeAdapter[object](places.Networks), TypeAdapter[object](places.Addresses)
    assert networks.validate_python(["::1"]) == (ip_network("::1"),)
    assert addresses.validate_python(["unix:/a", "unix:/b"]) == (UnixAddress("/a"), UnixAddress("/b"))
    with pytest.raises(ValidationError, match="expected each address once"):
        addresses.validate_python(["unix:/a", "unix:/a"])
    with pytest.raises(ValidationError, match="at least 1 item"):
        networks.validate_python([])
