"""The file for the generator, and its output."""

import struct

from tests.bench import load, packets
from tests.bench.load import Load


def test_a_burst_tells_where_its_marks_are() -> None:
    """A burst has its length, the number and offsets of the marks, and the bytes padded to a multiple of four."""
    data = b"ab" + packets.MARK + b"c" + packets.MARK + packets.MARK
    written = load.burst(data)
    assert struct.unpack_from("=5I", written) == (len(data), 3, 2, 17, 31)
    assert written[20:].rstrip(b"\0") == data
    assert len(written) % 4 == 0


def test_output_of_the_generator() -> None:
    """The output has the seconds and the CPU seconds first, then the microseconds of each message."""
    assert load.parse("0.500000 0.010000\n1500\n20\n") == load.Sample(0.5, 0.01, (0.0015, 0.00002))


def test_a_load_says_how_large_its_messages_are() -> None:
    """A load shows the size of its messages, or its name."""
    assert [Load((size,), 1, 1).size for size in (1_000, 30_000, 1_000_000)] == ["1 KB", "30 KB", "1 MB"]
    assert Load((1_000, 2_000), 1, 1, name="mixed").size == "mixed"
