"""Which hosts may connect to a TCP socket: their networks as a socket filter of the kernel. It knows no milter.

libmilter accepts connections itself and does not report the peer's address (its connect callback has the address of
the SMTP client), so the check must come first. Linux runs a filter on the listening socket for every packet, the first
one of a connection included, and drops what the filter refuses. To a host that is not listed the port looks like one
behind a firewall. The filter cannot be bypassed, costs no thread and no copy, and holds for all processes that share
the socket. A connection keeps the filter with which it began.

The kernel takes filters up to net.core.optmem_max, 20 KB before Linux 6.8: enough for a hundred IPv6 networks.
"""

import socket
import struct
from array import array
from collections.abc import Iterable, Iterator

from miltscan.core.address import Network
from miltscan.errors import StartError

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
_NET_OFF = 0xFFF00000  # SKF_NET_OFF of linux/filter.h, -0x100000: offsets count from the IP header
_SOURCE = {
    socket.AF_INET: 12,
    socket.AF_INET6: 8,
}  # offset of the source address: RFC 791 section 3.1, RFC 8200 section 3
_VERSION = {socket.AF_INET: 4, socket.AF_INET6: 6}
_INSTRUCTION = struct.Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, k
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06  # BPF_LD+W+ABS, ALU+AND+K, JMP+JEQ+K, RET+K
_KEEP, _DROP = 0xFFFFFFFF, 0  # bytes of the packet to keep


def admit(listener: socket.socket, networks: Iterable[Network]) -> None:
    """Admit only hosts of these networks from now on, in place of any former list; a unix socket is left unchanged.

    An IPv6 listener must be for IPv6 only (IPV6_V6ONLY). Call it before the socket listens. Raises StartError.
    """
    if listener.family not in _SOURCE:
        return
    instructions = program(networks, listener.family)
    code = array("B", instructions)  # it knows its address; ctypes would need memory that is writable and executable
    filter_ = struct.pack("@HP", len(instructions) // _INSTRUCTION.size, code.buffer_info()[0])  # struct sock_fprog
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
    except OSError as error:  # fail closed: without the filter every host could connect
        raise StartError(f"milter.allow: the kernel refused the socket filter: {error.strerror}") from error


def program(networks: Iterable[Network], family: int) -> bytes:
    """Return the filter (classic BPF, bpf(4)) that keeps packets from these networks and drops all others."""
    version, offset = _VERSION[socket.AddressFamily(family)], _SOURCE[socket.AddressFamily(family)]
    keep = b"".join(
        instruction
        for network in networks
        if network.version == version
        for instruction in _instructions(network, offset)
    )
    return keep + _INSTRUCTION.pack(_RETURN, 0, 0, _DROP)


def _instructions(network: Network, offset: int) -> Iterator[bytes]:
    """Keep the packet if its source is in this network, else continue after these instructions."""
    words = [*_words(network, offset)]
    left = 3 * len(words) + 1
    for place, mask, expected in words:
        left -= 3
        yield _INSTRUCTION.pack(_LOAD, 0, 0, _NET_OFF + place)
        yield _INSTRUCTION.pack(_AND, 0, 0, mask)
        yield _INSTRUCTION.pack(_IF_EQUAL, 0, left, expected)
    yield _INSTRUCTION.pack(_RETURN, 0, 0, _KEEP)


def _words(network: Network, offset: int) -> Iterator[tuple[int, int, int]]:
    """Return offset, mask and value of each 32-bit word of the address that the network fixes."""
    count = network.max_prefixlen // 32
    masks = struct.unpack(f"!{count}I", network.netmask.packed)
    values = struct.unpack(f"!{count}I", network.network_address.packed)
    for number, (mask, value) in enumerate(zip(masks, values, strict=True)):
        if mask:
            yield offset + 4 * number, mask, value
