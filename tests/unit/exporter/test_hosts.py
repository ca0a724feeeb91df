"""Which names in `Host` are ours: what an administrator wrote down, never what a name server says."""

import socket
from pathlib import Path

import pytest

from miltscan.exporter import hosts
from miltscan.exporter.hosts import is_known, own_names

NAMES = {"localhost", "mx", "mx.example.test"}


@pytest.mark.parametrize(
    "host",
    [
        *("", "  ", "localhost", "LocalHost:9464", "mx:1", "MX.Example.Test.", "mx.example.test.:9464"),
        *("127.0.0.1", "192.0.2.1:9464", "[::1]", "[2001:db8::1]:9464", "2001:db8::1", "[fe80::1%25eth0]:9464"),
        "[::ffff:192.0.2.1]:80",
    ],
)
def test_an_address_or_a_known_name_passes(host: str) -> None:
    """The port and the case do not matter; an address always passes, because it cannot point elsewhere."""
    assert is_known(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        *("rebound.example", "localhost.rebound.example", "xlocalhost", "mx.example.test.rebound.example", "mx..", "."),
        *(
            "127.0.0.1.rebound.example",
            "[rebound.example]",
            "[",
            "[]x",
            ":9464",
            "a b",
            "mx@rebound.example",
            "0x7f.1",
            "a:b:c",
        ),
    ],
)
def test_any_other_name_is_refused(host: str) -> None:
    """A name that only begins or ends like ours is refused, and so is any text that is not a name."""
    assert not is_known(host, NAMES)


def test_the_names_are_those_that_are_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's name, with each search domain, and all names in /etc/hosts; no name is looked up."""

    def looked_up(*_: object) -> None:
        raise AssertionError

    for function in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getfqdn"):
        monkeypatch.setattr(socket, function, looked_up)
    monkeypatch.setattr(socket, "gethostname", lambda: "MX.Lan")
    monkeypatch.setattr(hosts, "_HOSTS", tmp_path / "hosts")
    monkeypatch.setattr(hosts, "_RESOLVER", tmp_path / "resolv.conf")
    assert {*own_names()} == {"localhost", "mx.lan", "mx"}
    (tmp_path / "hosts").write_bytes(b"127.0.1.1 mx.example.test mx # comment\n\n#x y\n::1 ip6-loopback\n\xff \xfe\n")
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.1\nsearch Example.org example.net\noptions a\n")
    assert {*own_names()} == {
        *("localhost", "mx.lan", "mx", "mx.example.test", "ip6-loopback", "\xfe"),
        *("mx.example.org", "mx.example.net"),
    }
