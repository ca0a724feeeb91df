"""The socket filter: which source addresses it keeps, in an interpreter of this test and in the kernel."""

import errno
import ipaddress
import socket
import struct
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.config.load import parse_settings
from miltscan.core.address import InetAddress, Network
from miltscan.errors import StartError
from miltscan.processes import admission
from miltscan.processes.listener import bind

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ANYWHERE = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Return any network."""
    address = draw(ANYWHERE)
    return ipaddress.ip_network(f"{address}/{draw(st.integers(0, address.max_prefixlen))}", strict=False)


def kept(program: bytes, source: Address) -> bool:
    """Return whether the filter keeps a packet from `source`, by the part of classic BPF (bpf(4)) that it uses."""
    packet = (bytes(12) + source.packed if source.version == 4 else bytes(8) + source.packed) + bytes(16)
    steps, value, at = list(struct.iter_unpack("=HBBI", program)), 0, 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("!I", packet, operand - 0xFFF00000)
            case 0x54:
                value &= operand
            case 0x15:
                at += yes if value == operand else no
            case 0x06:
                return bool(operand)
            case _:
                raise AssertionError(f"unknown step {code:#x}")


@given(st.lists(networks(), max_size=8), ANYWHERE)
def test_keeps_exactly_the_listed_networks(allow: list[Network], source: Address) -> None:
    """For any list and any address the filter keeps exactly the listed networks; an empty list keeps nothing."""
    expected = any(source in network for network in allow)
    assert kept(admission.program(allow, FAMILY[source.version]), source) is expected


@given(st.lists(networks(), min_size=1, max_size=8), st.data())
def test_keeps_the_edges_of_a_network(allow: list[Network], data: st.DataObject) -> None:
    """The first and the last address of a network are kept, but not their neighbours outside it."""
    network = data.draw(st.sampled_from(allow))
    first, last = network.network_address, network.broadcast_address
    program = admission.program(allow, FAMILY[network.version])
    edges = [int(first), int(last), int(first) - 1, int(last) + 1]
    for number in (edge for edge in edges if 0 <= edge < 2**network.max_prefixlen):
        source = type(first)(number)
        assert kept(program, source) is any(source in other for other in allow)


def answers(listener: socket.socket, source: str) -> bool:
    """Return whether the kernel lets a client with this address connect."""
    with socket.socket(listener.family) as client:
        client.bind((source, 0))
        client.settimeout(0.2)
        try:
            client.connect(listener.getsockname()[:2])
        except TimeoutError:
            return False
        return True


def networks_of(*texts: str) -> Sequence[Network]:
    """Return networks as a configuration has them."""
    return [ipaddress.ip_network(text) for text in texts]


def test_the_kernel_drops_what_is_not_listed() -> None:
    """The kernel admits only listed networks, and a new list replaces the old one at once."""
    with bind(InetAddress("127.0.0.1", 0), 0o660, None, networks_of("127.0.1.0/24", "127.0.0.7", "::1")) as listener:
        assert [answers(listener, f"127.0.{host}") for host in ("1.1", "0.7", "0.1")] == [True, True, False]
        admission.admit(listener, networks_of("127.0.0.1"))
        assert [answers(listener, f"127.0.{host}") for host in ("1.1", "0.1")] == [False, True]


def test_the_kernel_drops_what_is_not_listed_over_ipv6() -> None:
    """An IPv6 peer that is not listed receives no answer."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this host has no IPv6")
    with bind(InetAddress("::1", 0), 0o660, None, networks_of("::/64")) as listener:
        assert answers(listener, "::1")
        admission.admit(listener, networks_of("127.0.0.0/8", "2001:db8::/32"))
        assert not answers(listener, "::1")


def test_a_connection_outlives_a_new_list() -> None:
    """A connection keeps the filter with which it began."""
    with (
        bind(InetAddress("127.0.0.1", 0), 0o660, None, networks_of("127.0.0.1")) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        admission.admit(listener, networks_of("127.0.0.2"))
        listener.settimeout(60)
        accepted = listener.accept()[0]
        with accepted:
            client.sendall(b"still here")
            assert accepted.recv(32) == b"still here"


def test_as_many_networks_as_the_configuration_takes() -> None:
    """64 networks with the longest filter fit into the kernel's memory for filters."""
    texts = ", ".join(f'"2001:db8:1:1:1:1:1:{number:x}"' for number in range(64))
    settings = parse_settings(f"[milter]\nallow = [{texts}]".encode(), "test.toml")
    if socket.has_dualstack_ipv6():
        bind(InetAddress("::1", 0), 0o660, None, settings.milter.allow).close()


def test_a_unix_socket_is_left_alone() -> None:
    """A unix socket has mode and group, and no filter."""
    with socket.socket(socket.AF_UNIX) as listener:
        admission.admit(listener, [])


def test_a_kernel_that_takes_no_filter_is_a_start_error() -> None:
    """The service does not start if its list of networks cannot be enforced."""

    class Refusing(socket.socket):
        def setsockopt(self, *_arguments: object) -> None:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with Refusing() as listener, pytest.raises(StartError, match=r"milter\.allow: .* filter: Cannot allocate memory"):
        admission.admit(listener, [])
