"""Sockets, networks, URLs and paths: text to value and back."""

import pytest

from miltscan.config import places
from miltscan.config.units import Kind
from miltscan.core.address import InetAddress, UnixAddress


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (places.LISTEN, "127.0.0.1:9464", InetAddress("127.0.0.1", 9464)),
        (places.LISTEN, "[::1]:9464", InetAddress("::1", 9464)),
        (places.LISTEN, "off", None),
        (places.FOLDER, "/var/spool/miltscan", "/var/spool/miltscan"),
        (places.ADDRESS, "unix:/run/a", UnixAddress("/run/a")),
        (places.ADDRESSES, ["unix:/run/a", "inet:1@b"], (UnixAddress("/run/a"), InetAddress("b", 1))),
    ],
)
def test_a_place_is_read_and_shown(kind: Kind[object], text: object, value: object) -> None:
    """Each kind shows what it has read in the words that it reads."""
    assert value == kind.parse(text)
    assert text == kind.show(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (places.LISTEN, "9464"),
        (places.LISTEN, "127.0.0.1:99999"),
        (places.LISTEN, 9464),
        (places.FOLDER, "spool"),
        (places.FOLDER, "/a\0b"),
        (places.ADDRESS, "/run/a"),
        (places.NETWORKS, []),
        (places.NETWORKS, "127.0.0.1"),
        (places.NETWORKS, [1]),
        (places.NETWORKS, ["mx.example.test"]),
        (places.NETWORKS, ["192.0.2.1/24"]),
        (places.NETWORKS, ["fe80::1%eth0"]),
        (places.NETWORKS, ["192.0.2.1"] * 65),
        (places.ADDRESSES, []),
        (places.ADDRESSES, "unix:/run/a"),
        (places.ADDRESSES, ["unix:/run/a", "unix:/run/a"]),
    ],
)
def test_what_is_no_place_is_told(kind: Kind[object], text: object) -> None:
    """Whatever is wrong, the error says what would be right."""
    with pytest.raises(ValueError, match=r"^expected "):
        kind.parse(text)


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
    """Unless one is given."""
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
def test_what_is_no_collector_is_refused(text: object) -> None:
    """A password has its place in the environment, where no `miltscan config` prints it."""
    with pytest.raises(ValueError, match="expected a URL"):
        places.COLLECTOR.parse(text)
