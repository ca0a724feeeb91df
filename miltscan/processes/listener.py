"""Binds the milter socket, one listener that all workers share, and the exporter's. It accepts nothing itself."""

import grp
import os
import socket
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from miltscan.core.address import Address, InetAddress, Network, UnixAddress
from miltscan.errors import StartError
from miltscan.processes.admission import admit

_BACKLOG = 511
_HTTP_BACKLOG = 511
_TCP_OPTIONS = (  # each connection inherits them
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),  # a host that vanished must not keep its sessions open for two hours
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # our replies are small and awaited
)


def bind(address: Address, mode: int, group: str | None, allow: Sequence[Network]) -> socket.socket:
    """The listening socket, non-blocking: a blocking one hung a worker in accept() for ever (measured).

    `mode` and `group` are those of the socket file, `allow` are the networks whose hosts may connect by TCP. StartError
    names what is in the way.
    """
    listener = _bind_unix(address, mode, group) if isinstance(address, UnixAddress) else _bind_inet(address, allow)
    listener.listen(_BACKLOG)
    listener.settimeout(0)  # non-blocking
    return listener


def bind_http(host: str, port: int) -> socket.socket:
    """The exporter's listening socket (port 0: any free one). Raises StartError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_HTTP_BACKLOG)
    except UnicodeError as error:  # of the IDNA codec
        raise StartError(f"exporter.listen: {host!r} is no host name") from error
    except OSError as error:
        raise StartError(
            f"exporter.listen: cannot listen on {host}:{port}: {error.strerror}; is another service there?"
        ) from error


def unbind(address: Address) -> None:
    """Remove the socket file; nobody else does. One that cannot be removed is cleared by the next start."""
    if isinstance(address, UnixAddress):
        with suppress(OSError):
            Path(address.path).unlink()


def _bind_inet(address: InetAddress, allow: Sequence[Network]) -> socket.socket:
    listener = socket.socket(_family(address), socket.SOCK_STREAM)
    try:
        _prepare(listener, allow)
        listener.bind((address.host, address.port))
    except StartError:
        listener.close()
        raise
    except UnicodeError as error:  # of the IDNA codec
        listener.close()
        raise StartError(f"milter.socket {address}: {address.host!r} is no host name") from error
    except OSError as error:
        listener.close()
        raise StartError(
            f"milter.socket {address}: {error.strerror}; choose another port or end what uses it"
        ) from error
    return listener


def _prepare(listener: socket.socket, allow: Sequence[Network]) -> None:
    """Before anybody can connect."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    for option in _TCP_OPTIONS:
        listener.setsockopt(*option)
    admit(listener, allow)


def _family(address: InetAddress) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET


def _bind_unix(address: UnixAddress, mode: int, group: str | None) -> socket.socket:
    path = Path(address.path)
    gid = _gid(group) if group else -1
    try:
        _clear(path)
        return _own(_bind_hidden(path), path, mode, gid)
    except OSError as error:
        raise StartError(
            f"milter.socket {path}: {error.strerror}; its folder must exist and be writable for us, "
            "and we must be a member of milter.socket_group"
        ) from error


def _bind_hidden(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o777)  # nobody may connect before mode and group are right
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(old_mask)
    return listener


def _own(listener: socket.socket, path: Path, mode: int, gid: int) -> socket.socket:
    try:
        os.chown(path, -1, gid)
        path.chmod(mode)
    except OSError:
        listener.close()
        path.unlink()
        raise
    return listener


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartError(f"milter.socket_group {group}: there is no such group; create it or name another") from None


def _clear(path: Path) -> None:
    """Remove a socket file that a dead process left; refuse if somebody answers, or if it is no socket."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StartError(f"milter.socket {path}: is there and is no socket; remove it or choose another path")
        if _answers(path):
            raise StartError(f"milter.socket {path}: another process serves it; stop that one first")
        path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # it is alive, if slow or not for us
            return True
    return True
