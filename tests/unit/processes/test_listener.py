"""The milter socket: what can prevent it, and who may connect."""

import grp
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from miltscan.core.address import Address, InetAddress, UnixAddress
from miltscan.errors import StartError
from miltscan.processes import listener
from miltscan.processes.listener import bind, bind_http, file_at, unbind
from tests.harness import ports


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a place for a socket, relative because the path of a test folder may be too long."""
    monkeypatch.chdir(tmp_path)
    return Path("milter.sock")


@contextmanager
def _bound(address: Address, mode: int = 0o660, group: str | None = None) -> Iterator[socket.socket]:
    with bind(address, mode, group) as made:
        yield made


def _refused(address: Address, words: str, group: str | None = None) -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(StartError, match=words):
        bind(address, 0o660, group)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def _unix(path: Path) -> UnixAddress:
    return UnixAddress(str(path))


def _connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def _free_port() -> int:
    return ports.choose().number


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_mode_is_as_asked(path: Path, mode: int) -> None:
    """The mode is independent of the umask, which does not change."""
    old_mask = os.umask(0o022)
    with _bound(_unix(path), mode):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        _connect(path)
        assert os.umask(old_mask) == 0o022


def test_group_is_as_asked(path: Path) -> None:
    """The socket file belongs to a group of the user."""
    group = grp.getgrgid(os.getgid())
    with _bound(_unix(path), group=group.gr_name):
        assert path.stat().st_gid == group.gr_gid


def test_unknown_group(path: Path) -> None:
    """The message names the key, and no socket file is left."""
    _refused(_unix(path), r"milter\.socket_group: group no-such-group does not exist", "no-such-group")
    assert not path.exists()


def test_group_that_may_not_be_given(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the key, and no socket file is left, if the group may not be set."""

    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    _refused(_unix(path), r"milter\.socket .*Operation not permitted.*milter\.socket_group")
    assert not path.exists()


def test_listener_does_not_block(path: Path) -> None:
    """The listener does not block: a blocking one hung a worker in accept()."""
    with _bound(_unix(path)) as made, pytest.raises(BlockingIOError):
        made.accept()


def test_stale_socket_is_replaced(path: Path) -> None:
    """The socket file of a killed service is replaced."""
    with _bound(_unix(path)):
        pass
    assert path.is_socket()
    with _bound(_unix(path)):
        _connect(path)


def test_live_socket_is_refused(path: Path) -> None:
    """A second service on the same path is refused, and the first one continues."""
    with _bound(_unix(path)):
        _refused(_unix(path), r"milter\.socket milter.sock: another process serves this socket")
        _connect(path)


def test_busy_socket_is_refused(path: Path) -> None:
    """A socket with a full queue is in use and is not replaced."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as client:
        busy.bind(str(path))
        busy.listen(0)
        client.connect(str(path))
        _refused(_unix(path), "another process serves this socket")


def test_socket_of_another_kind_is_refused(path: Path) -> None:
    """A datagram socket belongs to another program and is not removed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        _refused(_unix(path), "another process serves this socket")
        assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    """A mistyped path never removes a file that is not a socket."""
    match kind:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("elsewhere")
    _refused(_unix(path), r"milter\.socket milter.sock: exists and is not a socket")
    assert path.is_symlink() or path.exists()


def test_missing_folder(path: Path) -> None:
    """The message names the folder that must exist."""
    _refused(_unix(path.with_name("gone") / "x"), r"milter\.socket gone/x: No such file.*folder must exist")


def test_folder_that_is_a_file(path: Path) -> None:
    """The message is the same if the parent of the socket is a file."""
    path.write_text("")
    _refused(_unix(path / "x"), r"milter\.socket milter.sock/x: Not a directory")


def test_unbind_removes_the_file(path: Path) -> None:
    """The file is removed once; a missing file or an inet address is ignored."""
    with _bound(_unix(path)):
        ours = file_at(_unix(path))
        unbind(_unix(path), ours)
        assert not path.exists()
        unbind(_unix(path), ours)
    assert file_at(InetAddress("127.0.0.1", 1)) is None
    unbind(InetAddress("127.0.0.1", 1), None)


def test_unbind_leaves_the_file_of_another_service(path: Path) -> None:
    """A file that was put in its place in the meantime belongs to another process."""
    with _bound(_unix(path)):
        ours = file_at(_unix(path))
        path.unlink()
        with _bound(_unix(path)):
            unbind(_unix(path), ours)
            _connect(path)


def test_unbind_that_fails_is_no_fault(path: Path) -> None:
    """A file that cannot be removed is not an error at the end; the next start removes it or reports why not."""
    path.mkdir()
    unbind(_unix(path), file_at(_unix(path)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_inet(host: str) -> None:
    """A free port on loopback can be bound."""
    port = _free_port()
    with _bound(InetAddress(host, port)) as made:
        assert not made.getblocking()
        with socket.create_connection(("127.0.0.1", port)):
            pass


def test_inet_in_use() -> None:
    """The message for a port in use has the key, the address and a remedy."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        _refused(InetAddress("127.0.0.1", port), rf"milter\.socket inet:{port}@127\.0\.0\.1: Address already in use")


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b", "x" * 64 + ".test"])
def test_inet_address_that_is_not_ours(host: str) -> None:
    """An address of another host, or a name that cannot be one, is an error with the key."""
    _refused(InetAddress(host, _free_port()), r"milter\.socket inet:")


def test_all_addresses_mean_both_versions() -> None:
    """`::` accepts IPv4 as well, for MTAs and for the exporter; ::1 and an address of IPv4 do not change."""
    port = _free_port()
    with _bound(InetAddress("::", port)), socket.create_connection(("127.0.0.1", port)):
        pass
    with bind_http("::", 0) as http:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, http.getsockname()[1])).close()
    with bind_http("::1", 0) as http, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", http.getsockname()[1]))
    with _bound(InetAddress("::1", port)), pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_resolver_that_hangs_holds_up_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that no resolver answers is an error with a remedy, not a start that never ends."""
    answers = threading.Event()

    def hang(*_arguments: object, **_options: object) -> None:
        answers.wait()
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(listener, "_RESOLVER_PATIENCE", 0.01)
    _refused(InetAddress("mx.example.test", 10025), "no resolver answered for mx.example.test; name an address")
    with pytest.raises(StartError, match=r"exporter\.listen: .* no resolver answered"):
        bind_http("mx.example.test", 9464)
    answers.set()
