"""The sockets that a service manager passes: which are taken, and what a mistake in a unit says."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from miltscan.core.address import InetAddress, UnixAddress
from miltscan.errors import StartError
from miltscan.processes import activation
from miltscan.processes.activation import PassedSocket, take_passed


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is open in a test."""
    with ExitStack() as opened:
        yield opened


def pass_one(monkeypatch: pytest.MonkeyPatch, stack: ExitStack, one: socket.socket, names: str = "miltscan") -> None:
    """Pass this socket as a service manager does."""
    stack.enter_context(one)
    monkeypatch.setattr(activation, "_FIRST", os.dup(one.fileno()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDNAMES", names)


@pytest.mark.parametrize("names", ["miltscan", ""])
def test_a_socket_is_taken_once(monkeypatch: pytest.MonkeyPatch, stack: ExitStack, names: str) -> None:
    """The socket does not block, no other program inherits it, and no child takes it again."""
    pass_one(monkeypatch, stack, socket.create_server(("127.0.0.1", 0)), names)
    (taken,) = take_passed()
    stack.enter_context(taken.listener)
    assert taken.name == names
    assert not taken.listener.getblocking()
    assert not taken.listener.get_inheritable()
    assert take_passed() == []
    assert "LISTEN_FDS" not in os.environ


@pytest.mark.parametrize(("variable", "value"), [("LISTEN_PID", "1"), ("LISTEN_FDS", "x"), ("LISTEN_FDS", "")])
def test_what_is_for_another_process(
    monkeypatch: pytest.MonkeyPatch, stack: ExitStack, variable: str, value: str
) -> None:
    """Variables that a parent left in the environment are ignored, and removed."""
    pass_one(monkeypatch, stack, socket.create_server(("127.0.0.1", 0)))
    monkeypatch.setenv(variable, value)
    assert take_passed() == []
    assert "LISTEN_PID" not in os.environ


def test_what_cannot_be_served(monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
    """Each mistake in a unit is one line with its remedy."""
    accepted = socket.socketpair()
    stack.enter_context(accepted[1])
    for one, words in (
        (accepted[0], "does not listen. Remove Accept=yes"),
        (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "is not a stream socket. Use ListenStream="),
    ):
        pass_one(monkeypatch, stack, one)
        with pytest.raises(StartError, match=words):
            take_passed()
    with Path(os.devnull).open() as file:
        monkeypatch.setattr(activation, "_FIRST", file.fileno())
        monkeypatch.setenv("LISTEN_FDS", "1")
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        with pytest.raises(StartError, match="is not a socket: Socket operation on non-socket"):
            take_passed()


def test_which_address_it_has(tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links in a path and host names are resolved; a port of another address is another socket."""
    monkeypatch.chdir(tmp_path)
    unix = stack.enter_context(socket.socket(socket.AF_UNIX))
    Path("run").mkdir()
    Path("var").symlink_to("run")
    unix.bind("run/sock")
    passed = PassedSocket(unix, "")
    found = [passed.is_at(UnixAddress(path)) for path in ("run/sock", "var/sock", "run/other")]
    assert found == [True, True, False]
    assert not passed.is_at(InetAddress("127.0.0.1", 1))
    inet = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    passed, port = PassedSocket(inet, ""), inet.getsockname()[1]
    hosts = ("127.0.0.1", "localhost", "127.0.0.2", "a..b")
    assert [passed.is_at(InetAddress(host, port)) for host in hosts] == [True, True, False, False]
    assert not passed.is_at(InetAddress("127.0.0.1", port - 1))
    assert not passed.is_at(UnixAddress("/run/sock"))
    assert passed.address == InetAddress("127.0.0.1", port)
