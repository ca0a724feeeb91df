"""A connection held to one deadline, against sockets of ours."""

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from miltscan.core.address import InetAddress, UnixAddress
from miltscan.engines.wire import DeadlineError, Target, Wire, targets
from tests.unit.engines.support import nothing, soon, until

LITTLE = 0.2  # seconds


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A listening TCP socket; only the test accepts from it."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def wire(listener: socket.socket) -> Iterator[Wire]:
    """A connection to it with much time."""
    made = Wire(Target(socket.AF_INET, listener.getsockname()), soon(), nothing)
    made.connect()
    yield made
    made.close()


def test_targets() -> None:
    """A unix address is one target, a host as many as it has addresses; unknown hosts are an OSError."""
    assert targets(UnixAddress("/run/x")) == [Target(socket.AF_UNIX, "/run/x")]
    assert targets(InetAddress("127.0.0.1", 25)) == [Target(socket.AF_INET, ("127.0.0.1", 25))]
    with pytest.raises(OSError, match=r".+"):
        targets(InetAddress("no host", 25))


@pytest.mark.parametrize("size", [0, 1, 5_000_000])
def test_everything_sent_arrives(listener: socket.socket, wire: Wire, size: int) -> None:
    """All data is sent, even if the kernel takes only a part at once."""
    data = os.urandom(size)
    peer = listener.accept()[0]
    got = bytearray()

    def take() -> None:
        while len(got) < size:
            got.extend(peer.recv(100_000))

    thread = threading.Thread(target=take)
    thread.start()
    wire.send(data)
    thread.join()
    peer.close()
    assert bytes(got) == data


def test_a_reply_byte_by_byte(listener: socket.socket, wire: Wire) -> None:
    """Everything up to the end of file is one reply, however it comes."""
    peer = listener.accept()[0]
    for byte in b"hello\0":
        peer.send(bytes([byte]))
    peer.close()
    assert wire.receive(100) == b"hello\0"
    assert not wire.broken


def test_an_endless_reply_is_cut(listener: socket.socket, wire: Wire) -> None:
    """One byte more than the limit is read, and no more is waited for."""
    peer = listener.accept()[0]
    peer.send(bytes(100))
    assert wire.receive(10) == bytes(11)
    peer.close()


@pytest.mark.parametrize(
    ("first", "more", "line"),
    [
        (b"abc\0", b"", b"abc\0"),
        (b"abc", b"\0", b"abc\0"),
        (b"abcde", b"\0", b"abcde\0"),
        (b"abcdef", b"", b"abcdef"),
        (b"a\0b", b"\0", b"a\0b\0"),
        (b"abcdefgh", b"", b"abcdef"),
        (b"abc", b"defghij", b"abcdef"),
    ],
)
def test_a_line_in_pieces(listener: socket.socket, first: bytes, more: bytes, line: bytes) -> None:
    """It is read up to an end that is its last byte, or to one byte past the limit of five, and no further."""
    pieces = [more]

    def tick() -> None:
        if pieces:
            peer.sendall(pieces.pop())

    wire = Wire(Target(socket.AF_INET, listener.getsockname()), soon(), tick)
    wire.connect()
    peer = listener.accept()[0]
    peer.send(first)
    assert wire.receive_line(b"\0", 5) == line
    peer.close()
    wire.close()


def test_a_line_that_ends_with_the_connection(listener: socket.socket, wire: Wire) -> None:
    """What came before the end of file is given; after it nothing is."""
    peer = listener.accept()[0]
    peer.send(b"abc")
    peer.close()
    assert [wire.receive_line(b"\0", 100), wire.receive_line(b"\0", 100)] == [b"abc", b""]


def test_a_descriptor_goes_with_the_first_byte() -> None:
    """The receiver gets the bytes and a descriptor of the same file at once."""
    path = f"\0miltscan-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        wire = Wire(Target(socket.AF_UNIX, path), soon(), nothing)
        wire.connect()
        peer = listener.accept()[0]
        descriptor = os.memfd_create("test")
        os.write(descriptor, b"content")
        wire.send_descriptor(b"ab", descriptor)
        data, descriptors, _, _ = socket.recv_fds(peer, 10, 2)
        assert (data, os.pread(descriptors[0], 10, 0)) == (b"ab", b"content")
        os.close(descriptor)
        os.close(descriptors[0])
        peer.close()
        wire.close()


def test_a_word_before_a_reset_is_given(listener: socket.socket, wire: Wire) -> None:
    """And the reset is remembered."""
    wire.send(b"unread")
    peer = listener.accept()[0]
    peer.send(b"why")
    peer.close()
    assert wire.receive(10) == b"why"
    assert wire.broken


def test_a_reset_without_a_word(listener: socket.socket, wire: Wire) -> None:
    """Is an error, not an empty reply."""
    peer = listener.accept()[0]
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() resets
    peer.close()
    with pytest.raises(ConnectionError):
        wire.receive(10)


def silent(listener: socket.socket, tick: list[float]) -> Wire:
    """A connection without a reply, with little time."""
    return Wire(
        Target(socket.AF_INET, listener.getsockname()),
        time.monotonic() + LITTLE,
        lambda: tick.append(time.monotonic()),
    )


def test_waiting_for_a_reply_ticks_and_ends(listener: socket.socket) -> None:
    """The deadline holds although nothing comes, and the tick is called meanwhile."""
    ticks: list[float] = []
    wire = silent(listener, ticks)
    wire.connect()
    with pytest.raises(DeadlineError):
        wire.receive(10)
    wire.close()
    assert ticks


def test_sending_to_a_peer_that_does_not_read_ends(listener: socket.socket) -> None:
    """The same holds for a send that no peer reads."""
    ticks: list[float] = []
    wire = silent(listener, ticks)
    wire.connect()
    with pytest.raises(DeadlineError):
        wire.send(bytes(50_000_000))
    wire.close()
    assert ticks


def test_trickling_does_not_stretch_the_deadline(listener: socket.socket) -> None:
    """A peer that sends a byte now and then is not waited for any longer."""
    wire = silent(listener, [])
    wire.connect()
    peer = listener.accept()[0]
    stopped = threading.Event()

    def trickle() -> None:
        while not stopped.wait(LITTLE / 20):
            peer.send(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    with pytest.raises(DeadlineError):
        wire.receive(1000)
    stopped.set()
    thread.join()
    peer.close()
    wire.close()


def test_no_time_left(listener: socket.socket) -> None:
    """Nothing is tried after the deadline."""
    wire = Wire(Target(socket.AF_INET, listener.getsockname()), time.monotonic(), nothing)
    with pytest.raises(DeadlineError):
        wire.connect()
    wire.close()


def test_a_tick_may_end_the_wait(listener: socket.socket) -> None:
    """What it raises comes out."""

    def tick() -> None:
        raise LookupError

    wire = Wire(Target(socket.AF_INET, listener.getsockname()), soon(), tick)
    wire.connect()
    with pytest.raises(LookupError):
        wire.receive(10)
    wire.close()


def test_an_endless_reply_in_pieces_is_cut(listener: socket.socket) -> None:
    """A second piece is read up to the same limit as a reply that arrives at once."""
    pieces = [bytes(100)]

    def tick() -> None:
        if pieces:
            peer.sendall(pieces.pop())

    wire = Wire(Target(socket.AF_INET, listener.getsockname()), soon(), tick)
    wire.connect()
    peer = listener.accept()[0]
    peer.send(b"abc")
    assert wire.receive(10) == b"abc" + bytes(8)
    peer.close()
    wire.close()


@pytest.mark.parametrize("ending", ["data", "end of file", "reset"])
def test_a_connection_is_quiet_until_its_peer_acts(listener: socket.socket, wire: Wire, ending: str) -> None:
    """An idle connection can be used again; one with unread data or without its peer cannot."""
    peer = listener.accept()[0]
    assert wire.quiet()
    if ending == "data":
        peer.send(b"x")
    if ending == "reset":
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if ending != "data":
        peer.close()
    until(lambda: not wire.quiet())
    peer.close()
