"""Binds the milter socket, one listener that all workers share, and the exporter's. It accepts no connection."""

import errno
import grp
import os
import socket
import stat
import threading
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path

from miltscan.core.address import Address, InetAddress, UnixAddress
from miltscan.errors import StartError

_BACKLOG = 511
_RESOLVER_PATIENCE = 10.0  # seconds
_TCP_OPTIONS = (  # each connection inherits them
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),  # a host that vanished must not keep its sessions open for two hours
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # replies are small, and the MTA waits for them
)


def bind(address: Address, mode: int, group: str | None) -> socket.socket:
    """Return the listening socket; `mode` and `group` are for the socket file. Who may connect by TCP: `admission`.

    It is non-blocking: with a blocking one a worker hangs in accept() when another worker was faster
    (test_listener_does_not_block). StartError names what prevents it.
    """
    listener = _bind_unix(address, mode, group) if isinstance(address, UnixAddress) else bind_port(address)
    listener.listen(_BACKLOG)
    listener.settimeout(0)  # non-blocking
    return listener


def bind_http(host: str, port: int) -> socket.socket:
    """Return the exporter's listening socket (port 0: any free one). Raises StartError."""
    try:
        family, place = _resolved(host, port)
        return socket.create_server(place, family=family, backlog=_BACKLOG, dualstack_ipv6=_is_dual(host))
    except UnicodeError as error:  # of the IDNA codec
        raise StartError(f"exporter.listen: {host!r} is not a host name") from error
    except OSError as error:
        why = (error.strerror or "").partition(" (while ")[0]  # create_server adds the address in Python's notation
        raise StartError(
            f"exporter.listen: cannot listen on {host}:{port}: {why}. "
            "Choose another port, or stop the service that uses this one."
        ) from error


FileIdentity = tuple[int, int]
"""Device and inode of a socket's file. No other file has them while the socket is open, which holds the inode."""


def file_at(address: Address) -> FileIdentity | None:
    """Return what is at the path of a unix socket now; None if nothing is, or for a TCP socket."""
    if isinstance(address, UnixAddress):
        with suppress(OSError):
            status = os.lstat(address.path)
            return status.st_dev, status.st_ino
    return None


def unbind(address: Address, file: FileIdentity | None) -> None:
    """Remove the socket file if it is still this one: another service may have put its own in its place.

    The next start clears one that cannot be removed.
    """
    if isinstance(address, UnixAddress) and file and file_at(address) == file:
        with suppress(OSError):
            Path(address.path).unlink()


def set_tcp_options(listener: socket.socket) -> None:
    """Give a TCP listener the options that its connections inherit."""
    if listener.family != socket.AF_UNIX:
        for option in _TCP_OPTIONS:
            listener.setsockopt(*option)


def bind_port(address: InetAddress) -> socket.socket:
    """Return a TCP socket that is bound and does not listen yet. Raises StartError, whose cause is an OSError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not _is_dual(address.host))
        set_tcp_options(listener)
        listener.bind(_resolved(address.host, address.port, family)[1])
    except UnicodeError as error:  # of the IDNA codec
        listener.close()
        raise StartError(f"milter.socket {address}: {address.host!r} is not a host name") from error
    except OSError as error:
        listener.close()
        raise StartError(
            f"milter.socket {address}: {error.strerror}. Choose another port, or stop the service that uses this one."
        ) from error
    return listener


def _resolved(host: str, port: int, family: int = socket.AF_UNSPEC) -> tuple[int, tuple[str, int]]:
    """Return the family and the numeric address of a host. Raises OSError, also if no resolver answers in time.

    A resolver that hangs would hold the start until the service manager ends it.
    """
    found: list[tuple[int, tuple[str, int]]] = []
    failed: list[Exception] = []

    def look_up() -> None:
        try:
            entry = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            found.append((entry[0], entry[4][:2]))  # type: ignore[arg-type]  # of a socket without IPv6
        except (OSError, UnicodeError) as error:
            failed.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(_RESOLVER_PATIENCE)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(errno.ETIMEDOUT, f"no resolver answered for {host}; name an address")
    return found[0]


def _is_dual(host: str) -> bool:
    """Return whether a socket at this address accepts IPv4 as well: at `::`, which stands for all addresses."""
    try:
        return int(IPv6Address(host)) == 0 and socket.has_dualstack_ipv6()
    except ValueError:
        return False


def _bind_unix(address: UnixAddress, mode: int, group: str | None) -> socket.socket:
    path = Path(address.path)
    try:
        gid = grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise StartError(
            f"milter.socket_group: group {group} does not exist. Create it, or change milter.socket_group."
        ) from None
    try:
        _clear(path)
        return _set_owner(_bind_hidden(path), path, mode, gid)
    except OSError as error:
        raise StartError(
            f"milter.socket {path}: {error.strerror}. Its folder must exist and be writable by miltscan's user, "
            "and that user must be a member of milter.socket_group."
        ) from error


def _bind_hidden(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o777)  # no process may connect before mode and group are set
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(old_mask)
    return listener


def _set_owner(listener: socket.socket, path: Path, mode: int, gid: int) -> socket.socket:
    try:
        os.chown(path, -1, gid)
        path.chmod(mode)
    except OSError:
        listener.close()
        path.unlink()
        raise
    return listener


def _clear(path: Path) -> None:
    """Remove the socket file of a dead process; StartError if a process answers there, or if it is not a socket."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StartError(f"milter.socket {path}: exists and is not a socket. Remove it, or choose another path.")
        if _answers(path):
            raise StartError(f"milter.socket {path}: another process serves this socket. Stop that process first.")
        path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # a process has it, but is slow or closed to this user
            return True
    return True
