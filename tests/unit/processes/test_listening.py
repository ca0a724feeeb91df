"""Where a port of this host can be reached."""

import socket
import sys

import pytest

from miltscan.processes import listening
from miltscan.processes.listening import listening_hosts


def test_a_listener_has_an_address() -> None:
    """It is the one on which it listens, or loopback if it listens on all."""
    for bound, reached in (("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "127.0.0.1")):  # noqa: S104
        with socket.create_server((bound, 0)) as server:
            port = server.getsockname()[1]
            assert listening_hosts()[port] == reached
        assert port not in listening_hosts()


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("0100007F", "127.0.0.1"),
        ("00000000", "127.0.0.1"),
        ("0" * 32, "::1"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
    ],
)
def test_addresses_of_the_kernel(address: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words of an address are in the byte order of the host."""
    monkeypatch.setattr(sys, "byteorder", "little")
    assert listening._reachable(address) == host  # noqa: SLF001
