"""Which hosts may connect to a TCP socket: their networks as a socket filter of the kernel. It knows no milter.

libmilter accepts connections itself and tells nobody the address of the peer (its connect callback has that of the SMTP
client), so the check must come before it: Linux asks a filter on the listening socket about every packet, the first one
of a connection included, and drops what it refuses. To a host that is not listed the port looks like one behind a
firewall. It needs neither privilege nor firewall, cannot be got around, costs no thread and no copy, and holds for all
processes that share the socket. A connection keeps the filter with which it began.

The kernel takes filters up to net.core.optmem_max, 20 KB before Linux 6.8: enough for a hundred networks of IPv6.
"""

import socket
import struct
from array import array
from collections.abc import Iterable, Iterator

from miltscan.core.address import Network
from miltscan.errors import StartError

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
_NET_OFF = 0xFFF00000  # SKF_NET_OFF of linux/filter.h, -0x100000: what follows counts from the IP header
_SOURCE = {
    socket.AF_INET: 12,
    socket.AF_INET6: 8,
}  # offset of the source address: RFC 791 section 3.1, RFC 8200 section 3
_VERSION = {socket.AF_INET: 4, socket.AF_INET6: 6}
_STEP = struct.Struct("=HBBI")  # struct sock_filter: code, jump if true, jump if false, k
_LOAD, _AND, _IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06  # BPF_LD+W+ABS, ALU+AND+K, JMP+JEQ+K, RET+K
_WHOLE, _NOTHING = 0xFFFFFFFF, 0  # bytes of the packet to keep


def admit(listener: socket.socket, networks: Iterable[Network]) -> None:
    """Let only hosts of these networks connect from now on, whatever was set before; a unix socket is left as it is.

    An IPv6 listener must be for IPv6 only (IPV6_V6ONLY). Best called before the socket listens. Raises StartError.
    """
    if listener.family not in _SOURCE:
        return
    steps = program(networks, listener.family)
    code = array("B", steps)  # its address is known without ctypes, which wants memory to write and execute
    filter_ = struct.pack("@HP", len(steps) // _STEP.size, code.buffer_info()[0])  # struct sock_fprog
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
    except OSError as error:  # fail closed: without the filter everybody might connect
        raise StartError(f"milter.allow: the kernel does not take the socket filter: {error.strerror}") from error


def program(networks: Iterable[Network], family: int) -> bytes:
    """The filter (classic BPF, bpf(4)) that keeps packets whose source is in one of the networks and drops all else."""
    mine = [network for network in networks if network.version == _VERSION[socket.AddressFamily(family)]]
    accept = b"".join(step for network in mine for step in _steps(network, _SOURCE[socket.AddressFamily(family)]))
    return accept + _STEP.pack(_RETURN, 0, 0, _NOTHING)


def _steps(network: Network, offset: int) -> Iterator[bytes]:
    """Keep the packet if its source is in this network, else go on after these steps."""
    words = [*_words(network, offset)]
    left = 3 * len(words) + 1
    for place, mask, wanted in words:
        left -= 3
        yield _STEP.pack(_LOAD, 0, 0, _NET_OFF + place)
        yield _STEP.pack(_AND, 0, 0, mask)
        yield _STEP.pack(_IF_EQUAL, 0, left, wanted)
    yield _STEP.pack(_RETURN, 0, 0, _WHOLE)


def _words(network: Network, offset: int) -> Iterator[tuple[int, int, int]]:
    """Offset, mask and value of each 32-bit word of the address that the network looks at."""
    count = network.max_prefixlen // 32
    masks = struct.unpack(f"!{count}I", network.netmask.packed)
    values = struct.unpack(f"!{count}I", network.network_address.packed)
    for number, (mask, value) in enumerate(zip(masks, values, strict=True)):
        if mask:
            yield offset + 4 * number, mask, value
