"""Which hosts may connect to a TCP socket, by their networks: a check of each connection, and a filter of the kernel.

libmilter accepts connections itself and does not report the peer's address (its connect callback has the address of
the SMTP client). So `Admission` looks at the sockets of its own process when a session begins: a new connection from
a host that is not listed is shut down and its data thrown away before libmilter reads more than the packet that began
the session. This requires no privilege. Each connection is checked once; a session costs a look at each descriptor of
the process, some microseconds each.

The filter is the second line. Linux runs it on the listening socket for every packet, the first one of a connection
included, drops what the filter refuses, and counts it (`dropped_packets`): to a host that is not listed the port looks
like one behind a firewall. Newer kernels take it only from a process with CAP_NET_ADMIN; they take filters up to
net.core.optmem_max, 20 KB before Linux 6.8, enough for a hundred IPv6 networks. A connection keeps the list with which
it began.
"""

import errno
import os
import socket
import stat
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from miltscan.core.address import Network, is_in

_OWN = "/proc/self/fd"
_CLOSED = (errno.EBADF, errno.ENOTSOCK)  # since the list was read, perhaps opened again as something else
_CHUNK = 65536  # bytes of a refused connection that are read at once
_SO_ATTACH_FILTER, _SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h; Python has no names for them
_SO_MEMINFO, _DROPS = 55, slice(32, 36)  # asm-generic/socket.h; SK_MEMINFO_DROPS of linux/sock_diag.h, the ninth number
_NET_OFF = 0xFFF00000  # SKF_NET_OFF of linux/filter.h, -0x100000: offsets count from the IP header
_OFFSET = {4: 12, 6: 8}  # of the source address: RFC 791 section 3.1, RFC 8200 section 3
_VERSION = {socket.AF_INET: 4, socket.AF_INET6: 6}
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, k
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06  # BPF_LD+W+ABS, ALU+AND+K, JMP+JEQ+K, RET+K
_KEEP, _DROP = 0xFFFFFFFF, 0  # bytes of the packet to keep


class Admission:
    """Ends connections to the TCP socket `listener` from hosts outside `networks`, for one process that accepts them.

    `networks` may be replaced at any time. `refused` is called with the address of each peer, once for a connection.
    """

    def __init__(self, listener: socket.socket, networks: Iterable[Network], refused: Callable[[str], None]) -> None:
        self.networks: Iterable[Network] = networks
        self._port = listener.getsockname()[1]
        self._refused = refused
        self._seen: set[tuple[int, int]] = set()  # device and inode, which name a socket for as long as the host runs
        self._ended: set[tuple[int, int]] = set()

    def enforce(self) -> None:
        """Check each connection that is open and was not checked before; may be called from any thread.

        Raises OSError if it cannot look: then the caller must not serve a new session.
        """
        seen, ended = set(), set()
        for name in os.listdir(_OWN):  # noqa: PTH208 - the names are enough, and there may be thousands
            try:
                status = os.fstat(int(name))
                key = (status.st_dev, status.st_ino)
                if not stat.S_ISSOCK(status.st_mode):
                    continue
                if key in self._seen or self._admits(int(name), known=key in self._ended):
                    seen.add(key)
                else:
                    ended.add(key)
            except OSError as error:
                if error.errno not in _CLOSED:  # no descriptor is left, for example: fail closed
                    raise
        self._seen, self._ended = seen, ended

    def _admits(self, descriptor: int, *, known: bool) -> bool:
        """Return whether a socket may stay open; otherwise end it, and report its peer if it is not `known`."""
        with _copy(descriptor) as connection:
            if connection.family not in _VERSION or connection.getsockname()[1] != self._port:
                return True
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return True
            peer = _peer(connection)
            if peer and is_in(peer, self.networks):
                return True
            _end(connection)
        if peer and not known:
            self._refused(peer)
        return False


def has_connection(place: object) -> bool:
    """Return whether a connection to the listener with this name (getsockname) is open in this process.

    libmilter reports a session only after its first step, so the sockets are the only complete list.
    """
    try:
        names = os.listdir(_OWN)  # noqa: PTH208 - as above
    except OSError:  # no descriptor is left: many connections are
        return True
    for name in names:
        with suppress(OSError), _copy(int(name)) as connection:  # not a socket, or closed meanwhile
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                continue
            if _local(connection.getsockname()) == _local(place):
                return True
    return False


def _local(place: object) -> object:
    """Return what listener and connection have in common: the path, or the port, as the address may be 0.0.0.0."""
    return place[1] if isinstance(place, tuple) else place


def _copy(descriptor: int) -> socket.socket:
    """Return a duplicate of a socket: another thread may close the descriptor and open another one as its number."""
    duplicate = os.dup(descriptor)
    try:
        return socket.socket(fileno=duplicate)
    except OSError:
        os.close(duplicate)
        raise


def _peer(connection: socket.socket) -> str:
    """Return the address of the peer; empty if it has reset the connection, which may still hold its data."""
    try:
        return str(connection.getpeername()[0])
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        return ""


def _end(connection: socket.socket) -> None:
    """Shut the connection down, so that the kernel takes no more of it, and throw away what it has sent already."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        while connection.recv(_CHUNK, socket.MSG_DONTWAIT):
            continue


def install_filter(listener: socket.socket, networks: Iterable[Network]) -> str:
    """Let the kernel admit only hosts of these networks from now on; return why not, empty if it does.

    In place of any former list; a unix socket is left unchanged. Call it before the socket listens.
    """
    if listener.family not in _VERSION:
        return ""
    instructions = program(networks, listener.family, both=is_dual(listener))
    code = array("B", instructions)  # it knows its address; ctypes would need memory that is writable and executable
    filter_ = struct.pack("@HP", len(instructions) // _INSTRUCTION.size, code.buffer_info()[0])  # struct sock_fprog
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
    except OSError as error:
        with suppress(OSError):  # a former list would keep out hosts that the new one names
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
        return error.strerror or str(error)
    return ""


def dropped_packets(listener: socket.socket) -> int:
    """Return how many packets the kernel has dropped at a listening socket, modulo 2**32; 0 if it does not tell.

    It counts those that the filter refuses together with those of connections for which the socket has no room. A host
    that receives no answer sends its first packet again, so that one connection is several packets.
    """
    with suppress(OSError):
        return int.from_bytes(listener.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS.stop)[_DROPS], sys.byteorder)
    return 0


def is_dual(listener: socket.socket) -> bool:
    """Return whether an IPv6 socket accepts IPv4 connections as well."""
    if listener.family != socket.AF_INET6:
        return False
    return not listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def program(networks: Iterable[Network], family: int, *, both: bool = False) -> bytes:
    """Return the filter (classic BPF, bpf(4)) that keeps packets from these networks and drops all others.

    `both`: the socket receives packets of both versions of IP, so the version is compared as well.
    """
    version = _VERSION[socket.AddressFamily(family)]
    keep = b"".join(
        instruction
        for network in networks
        if both or network.version == version
        for instruction in _instructions([*([_version(network)] if both else []), *_words(network)])
    )
    return keep + _INSTRUCTION.pack(_RETURN, 0, 0, _DROP)


def _instructions(words: list[tuple[int, int, int]]) -> Iterator[bytes]:
    """Keep the packet if all its words are as expected, else continue after these instructions."""
    left = 3 * len(words) + 1
    for place, mask, expected in words:
        left -= 3
        yield _INSTRUCTION.pack(_LOAD, 0, 0, _NET_OFF + place)
        yield _INSTRUCTION.pack(_AND, 0, 0, mask)
        yield _INSTRUCTION.pack(_IF_EQUAL, 0, left, expected)
    yield _INSTRUCTION.pack(_RETURN, 0, 0, _KEEP)


def _version(network: Network) -> tuple[int, int, int]:
    """Return offset, mask and value of the word of the header that begins with the version."""
    return 0, 0xF0000000, network.version << 28


def _words(network: Network) -> Iterator[tuple[int, int, int]]:
    """Return offset, mask and value of each 32-bit word of the address that the network fixes."""
    offset = _OFFSET[network.version]
    count = network.max_prefixlen // 32
    masks = struct.unpack(f"!{count}I", network.netmask.packed)
    values = struct.unpack(f"!{count}I", network.network_address.packed)
    for number, (mask, value) in enumerate(zip(masks, values, strict=True)):
        if mask:
            yield offset + 4 * number, mask, value
