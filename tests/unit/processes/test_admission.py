"""Who may connect: the check of each connection, and the kernel's filter, also in an interpreter of this test."""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.config.load import parse_settings
from miltscan.core.address import InetAddress, Network
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
    head = bytes([source.version << 4])
    packet = head + (bytes(11) + source.packed if source.version == 4 else bytes(7) + source.packed) + bytes(16)
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


@given(st.lists(networks(), max_size=8), ANYWHERE)
def test_a_socket_for_both_versions_keeps_exactly_the_listed_networks(allow: list[Network], source: Address) -> None:
    """A network of one version never admits a host of the other one."""
    program = admission.program(allow, socket.AF_INET6, both=True)
    assert kept(program, source) is any(source in network for network in allow)


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


@contextmanager
def filtered(host: str, *texts: str) -> Iterator[socket.socket]:
    """Return a listener with the kernel's filter, which root may install."""
    with bind(InetAddress(host, 0), 0o660, None) as listener:
        assert admission.install_filter(listener, networks_of(*texts)) == ""
        yield listener


def test_the_kernel_drops_what_is_not_listed() -> None:
    """The kernel admits only listed networks, and a new list replaces the old one at once."""
    with filtered("127.0.0.1", "127.0.1.0/24", "127.0.0.7", "::1") as listener:
        assert [answers(listener, f"127.0.{host}") for host in ("1.1", "0.7", "0.1")] == [True, True, False]
        admission.install_filter(listener, networks_of("127.0.0.1"))
        assert [answers(listener, f"127.0.{host}") for host in ("1.1", "0.1")] == [False, True]


def test_the_kernel_drops_what_is_not_listed_over_ipv6() -> None:
    """An IPv6 peer that is not listed receives no answer."""
    with filtered("::1", "::/64") as listener:
        assert answers(listener, "::1")
        admission.install_filter(listener, networks_of("127.0.0.0/8", "2001:db8::/32"))
        assert not answers(listener, "::1")


def test_the_kernel_filters_both_versions_on_one_socket() -> None:
    """At `::` the networks of both versions count."""
    with filtered("::", "127.0.0.7", "2001:db8::/32") as listener:
        port = listener.getsockname()[1]
        found = []
        for host, source in (("127.0.0.1", "127.0.0.7"), ("127.0.0.1", "127.0.0.8"), ("::1", "::1")):
            with suppress(TimeoutError), socket.create_connection((host, port), 0.2, (source, 0)):
                found.append(source)
        assert found == ["127.0.0.7"]


def test_the_kernel_counts_what_it_drops() -> None:
    """Each try of a host that is not listed; a host that is listed adds nothing."""
    with filtered("127.0.0.1", "127.0.0.7") as listener:
        assert answers(listener, "127.0.0.7")
        assert admission.dropped_packets(listener) == 0
        assert not answers(listener, "127.0.0.1")
        assert admission.dropped_packets(listener) > 0
    assert admission.dropped_packets(listener) == 0  # it is closed


def test_a_connection_outlives_a_new_list() -> None:
    """A connection keeps the filter with which it began."""
    with filtered("127.0.0.1", "127.0.0.1") as listener, socket.create_connection(listener.getsockname()) as client:
        admission.install_filter(listener, networks_of("127.0.0.2"))
        listener.settimeout(60)
        accepted = listener.accept()[0]
        with accepted:
            client.sendall(b"still here")
            assert accepted.recv(32) == b"still here"


def test_as_many_networks_as_the_configuration_takes() -> None:
    """64 networks with the longest filter fit into the kernel's memory for filters."""
    texts = ", ".join(f'"2001:db8:1:1:1:1:1:{number:x}"' for number in range(64))
    settings = parse_settings(f"[milter]\nallow = [{texts}]".encode(), "test.toml")
    with bind(InetAddress("::", 0), 0o660, None) as listener:
        assert admission.install_filter(listener, settings.milter.allow) == ""


def test_a_unix_socket_is_left_alone() -> None:
    """A unix socket has mode and group, and no filter."""
    with socket.socket(socket.AF_UNIX) as listener:
        assert admission.install_filter(listener, []) == ""


def test_a_kernel_that_takes_no_filter() -> None:
    """The reason is returned, and a former list is removed: it would keep out hosts that the new one names."""

    class Refusing(socket.socket):
        removed = False

        def setsockopt(self, _level: int, option: int, *_arguments: object) -> None:
            if option == 26:
                raise OSError(errno.EPERM, "Operation not permitted")
            self.removed |= option == 27

    with Refusing() as listener:
        assert admission.install_filter(listener, []) == "Operation not permitted"
        assert listener.removed


# The check of each connection, which needs no privilege


@dataclass
class Served:
    """A listener whose connections this process accepts, as libmilter does, and the check of them."""

    listener: socket.socket
    refused: list[str] = field(default_factory=list)
    accepted: list[socket.socket] = field(default_factory=list)
    clients: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = admission.Admission(self.listener, networks_of("127.0.0.7", "::1"), self.refused.append)

    def connect(self, source: str, data: bytes = b"") -> socket.socket:
        """Return our end of a new connection from this address, which has sent `data`."""
        host = "::1" if ":" in source else "127.0.0.1"
        client = socket.create_connection((host, self.listener.getsockname()[1]), 60, (source, 0))
        self.clients.append(client)
        self.listener.settimeout(60)
        self.accepted.append(self.listener.accept()[0])
        ours = self.accepted[-1]
        if data:
            client.sendall(data)
            ours.settimeout(60)
            assert ours.recv(len(data), socket.MSG_PEEK | socket.MSG_WAITALL) == data
        return ours

    def close(self) -> None:
        """Close everything."""
        for one in (*self.accepted, *self.clients):
            one.close()


@pytest.fixture(params=["127.0.0.1", "::"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Return a listener for one or both versions of IP."""
    with bind(InetAddress(request.param, 0), 0o660, None) as listener:
        made = Served(listener)
        yield made
        made.close()


def test_a_host_that_is_not_listed_is_cut_off(served: Served) -> None:
    """Its connection is shut down, and what it has already sent is gone; the others go on."""
    listed, stranger = served.connect("127.0.0.7", b"mail"), served.connect("127.0.0.8", b"mail" * 1000)
    served.admission.enforce()
    assert (listed.recv(4), stranger.recv(4)) == (b"mail", b"")
    assert served.clients[1].recv(1) == b""
    served.clients[0].sendall(b"more")
    assert listed.recv(4) == b"more"
    served.admission.enforce()
    assert [one.removeprefix("::ffff:") for one in served.refused] == ["127.0.0.8"]


def test_what_a_host_sends_after_that_is_never_read(served: Served) -> None:
    """The kernel takes nothing more of a connection that was shut down."""
    stranger = served.connect("127.0.0.8")
    served.admission.enforce()
    with suppress(OSError):
        served.clients[0].sendall(b"late")
    with suppress(OSError):
        assert stranger.recv(4) == b""


def test_a_host_that_has_reset_its_connection_leaves_no_data(served: Served) -> None:
    """The peer of such a connection is unknown, and its data would still be read."""
    stranger = served.connect("127.0.0.8", b"mail")
    served.clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    served.clients[0].close()
    served.admission.enforce()
    with suppress(ConnectionResetError):
        assert stranger.recv(4) == b""


def test_other_sockets_are_left_alone(served: Served) -> None:
    """The connection to a clamd goes to a host that is not listed, and unix sockets have no port."""
    pair = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as clamd, socket.create_connection(clamd.getsockname()) as client:
        served.admission.enforce()
        client.sendall(b"zPING")
        accepted = clamd.accept()[0]
        assert accepted.recv(5) == b"zPING"
        accepted.close()
    pair[0].sendall(b"x")
    assert pair[1].recv(1) == b"x"
    assert served.refused == []
    for one in pair:
        one.close()


def test_a_new_list_counts_for_new_connections(served: Served) -> None:
    """A connection keeps the list with which it began."""
    before = served.connect("127.0.0.7")
    served.admission.enforce()
    served.admission.networks = networks_of("127.0.0.8")
    after, listed = served.connect("127.0.0.7"), served.connect("127.0.0.8", b"mail")
    served.admission.enforce()
    served.clients[0].sendall(b"x")
    assert (before.recv(1), after.recv(1), listed.recv(4)) == (b"x", b"", b"mail")


def test_what_cannot_be_checked_is_an_error(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a free descriptor no session may begin; a connection that was closed meanwhile is not an error."""
    served.connect("127.0.0.8")

    def fail_with(number: int) -> Callable[[int], int]:
        def fail(_descriptor: int) -> int:
            raise OSError(number, "no")

        return fail

    monkeypatch.setattr(os, "dup", fail_with(errno.EBADF))
    served.admission.enforce()
    monkeypatch.setattr(os, "dup", fail_with(errno.EMFILE))
    with pytest.raises(OSError, match="no"):
        served.admission.enforce()
