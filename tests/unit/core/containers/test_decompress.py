"""The content of members by every method, with sizes that are right or wrong, within the bounds."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping
from hashlib import shake_128

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.containers.budget import MIB, Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import (
    ALONE,
    BZIP2,
    BZIP2_FILE,
    DEFLATE,
    GZIP_FILE,
    LZIP,
    LZMA,
    STORED,
    XZ,
    XZ_FILE,
    ZLIB,
    DataFault,
    Packed,
    Piece,
    decompress,
)
from tests.fakes.archives import as_alone, as_lzip
from tests.fakes.zips import deflated

TEXT = b"a line of text\n" * 1000
NOISE = shake_128(b"noise").digest(100_000)


def as_lzma(data: bytes, *, marked: bool = False) -> bytes:
    """The data as method 14 has them, by default without a marker at their end."""
    raw = lzma.compress(data, lzma.FORMAT_ALONE)  # 13 bytes of header; ends in a marker
    if marked:
        return b"\x09\x14\x05\x00" + raw[:5] + raw[13:]
    return b"\x09\x14\x05\x00" + raw[:5] + raw[13:-6]


ENCODERS: Mapping[int, Callable[[bytes], bytes]] = {
    STORED: bytes,
    DEFLATE: deflated,
    BZIP2: bz2.compress,
    LZMA: lambda data: as_lzma(data, marked=True),
    XZ: lambda data: lzma.compress(data, preset=0),
    ZLIB: zlib.compress,
    ALONE: as_alone,
    LZIP: as_lzip,
    GZIP_FILE: gzip.compress,
    BZIP2_FILE: bz2.compress,
    XZ_FILE: lzma.compress,
}
CODED = [method for method in ENCODERS if method != STORED]


def unpacked(packed: Packed, bounds: ContainerBounds | None = None) -> tuple[bytes, Piece | None]:
    """The content, and the fault at its end."""
    pieces = [*decompress(packed, Budget(bounds or ContainerBounds(), len(packed.data)))]
    fault = pieces.pop() if pieces and isinstance(pieces[-1], DataFault | ContainerLimit) else None
    assert all(0 < len(piece) <= MIB or packed.method == STORED for piece in pieces)
    return b"".join(piece for piece in pieces if not isinstance(piece, DataFault | ContainerLimit)), fault


@pytest.mark.parametrize("method", [*ENCODERS])
def test_what_was_compressed_is_read(method: int) -> None:
    """By every method, with its size known or not."""
    for data in (b"a", TEXT, NOISE, bytes(3 * MIB)):
        for size in (None, len(data)):
            packed = Packed(method, memoryview(ENCODERS[method](data)), size)
            assert unpacked(packed) == (data, None)


@pytest.mark.parametrize("method", CODED)
def test_a_reader_stops_at_the_size_of_the_header(method: int) -> None:
    """What it would show ends there, and that the stream does not end is a fault."""
    data = memoryview(ENCODERS[method](TEXT))
    assert unpacked(Packed(method, data, 100)) == (TEXT[:100], DataFault.LENGTH)
    assert unpacked(Packed(method, data, len(TEXT) + 1)) == (TEXT, DataFault.LENGTH)
    assert unpacked(Packed(method, data, 0)) == (b"", DataFault.LENGTH)


@pytest.mark.parametrize("method", CODED)
def test_a_stream_that_is_cut_shows_its_begin(method: int) -> None:
    """And so does one that is broken behind it; what it shows is the begin of the content."""
    raw = ENCODERS[method](NOISE)
    for broken in (raw[: len(raw) // 2], raw[: len(raw) // 2] + b"\xff" * 99, raw[:3], b""):
        content, fault = unpacked(Packed(method, memoryview(broken), None))
        assert fault is DataFault.BROKEN
        assert (NOISE).startswith(content[: len(content) // 2])


def test_what_follows_the_stream_is_not_read() -> None:
    """A reader stops where the stream ends; it is a fault if the header says that it ends elsewhere."""
    for more in (b"m", bytes(100_000)):
        data = memoryview(deflated(TEXT) + more)
        assert unpacked(Packed(DEFLATE, data, len(TEXT))) == (TEXT, DataFault.SURPLUS)
        assert unpacked(Packed(DEFLATE, data, None)) == (TEXT, None)


def test_lzma_without_a_marker_ends_at_its_size() -> None:
    """Its decoder makes some bytes more of the last ones, which no reader shows."""
    data = memoryview(as_lzma(TEXT))
    assert unpacked(Packed(LZMA, data, len(TEXT))) == (TEXT, None)
    assert unpacked(Packed(LZMA, data, len(TEXT) + 1))[1] is DataFault.BROKEN


def test_a_method_that_is_not_known_is_a_fault() -> None:
    """Deflate64 and PPMd are left to another program."""
    for method in (9, 98, 65535):
        assert unpacked(Packed(method, memoryview(TEXT), None)) == (b"", DataFault.METHOD_UNKNOWN)


def test_a_header_of_lzma_that_cannot_be_is_a_fault() -> None:
    """Properties of another length, and literal bits that no decoder has."""
    for header in (b"\x09\x14\x06\x00", b"\x09\x14\x05\x00\xff\0\0\1\0"):
        assert unpacked(Packed(LZMA, memoryview(header + bytes(20)), None)) == (b"", DataFault.BROKEN)


ZEROS = {method: memoryview(ENCODERS[method](bytes(3 * MIB))) for method in ENCODERS}


@pytest.mark.parametrize("method", [*ENCODERS])
def test_each_bound_ends_the_content(method: int) -> None:
    """What comes before it is at most as long as the bound."""
    packed = Packed(method, ZEROS[method], None)
    late = iter([0.0, 5.0])
    for bounds, exceeded in (
        (ContainerBounds(file=2 * MIB), ContainerLimit.FILE),
        (ContainerBounds(output=2 * MIB), ContainerLimit.OUTPUT),
        (ContainerBounds(small=0, ratio=0), ContainerLimit.RATIO),
        (ContainerBounds(clock=lambda: next(late, 5.0), deadline=1.0), ContainerLimit.TIME),
    ):
        content, fault = unpacked(packed, bounds)
        if method == STORED and exceeded is ContainerLimit.TIME:  # one step
            assert fault is None
        else:
            assert fault is exceeded
            assert len(content) <= 2 * MIB


def test_the_budget_is_that_of_the_message() -> None:
    """Several members share it."""
    budget = Budget(ContainerBounds(output=5 * MIB), 0)
    faults = [[*decompress(Packed(DEFLATE, ZEROS[DEFLATE], None), budget)][-1] for _ in range(2)]
    assert [isinstance(fault, ContainerLimit) for fault in faults] == [False, True]


def test_input_that_has_no_output_is_spent_as_well() -> None:
    """Empty blocks of deflate cost time and make nothing."""
    blocks = memoryview(b"\0\0\0\xff\xff" * MIB)
    assert unpacked(Packed(DEFLATE, blocks, None), ContainerBounds(output=MIB)) == (b"", ContainerLimit.OUTPUT)


def test_a_dictionary_above_the_memory_is_not_allocated() -> None:
    """Of one that is larger than the content, a part is enough."""
    header = b"\x09\x14\x05\x00\x5d" + (1 << 31).to_bytes(4, "little")
    data = memoryview(header + as_lzma(TEXT)[9:])
    bounds = ContainerBounds(memory=MIB)
    assert unpacked(Packed(LZMA, data, len(TEXT)), bounds) == (TEXT, None)
    assert unpacked(Packed(LZMA, data, MIB + 1), bounds) == (b"", ContainerLimit.MEMORY)
    packed = Packed(XZ, memoryview(lzma.compress(TEXT, preset=9)), None)
    assert unpacked(packed, bounds) == (b"", ContainerLimit.MEMORY)


def test_a_lzma_with_a_large_dictionary_is_read_as_far_as_memory_reaches() -> None:
    """The option -9 of lzma asks for 64 MiB, however small the file is; no bound is silent."""
    bounds = ContainerBounds(memory=MIB)
    small = memoryview(lzma.compress(TEXT, lzma.FORMAT_ALONE, preset=9))
    assert unpacked(Packed(ALONE, small, None), bounds) == (TEXT, None)
    large = memoryview(lzma.compress(NOISE * 11, lzma.FORMAT_ALONE, preset=9))
    content, fault = unpacked(Packed(ALONE, large, None), bounds)
    assert ((NOISE * 11).startswith(content), fault) == (True, ContainerLimit.MEMORY)
    assert unpacked(Packed(ALONE, large[:50_000], None), bounds)[1] is DataFault.BROKEN
    noted = memoryview(b"\x09\x14\x05\x00" + bytes(large[:5]) + bytes(large[13:]))
    assert unpacked(Packed(LZMA, noted, None), bounds)[1] is ContainerLimit.MEMORY


@given(st.sampled_from([*ENCODERS, 9]), st.binary(max_size=300), st.none() | st.integers(0, 300))
def test_nothing_raises(method: int, data: bytes, size: int | None) -> None:
    """Any data by any method have a content or a fault, twice the same."""
    packed = Packed(method, memoryview(data), size)
    assert unpacked(packed) == unpacked(packed)


@pytest.mark.parametrize("method", [LZIP, GZIP_FILE, BZIP2_FILE, XZ_FILE])
@pytest.mark.parametrize("between", [b"", bytes(4), bytes(200_000)], ids=len)
def test_all_streams_of_a_file_are_read(method: int, between: bytes) -> None:
    """Also those behind the first, behind zeros and behind a piece of input; what is no stream ends the file."""
    archive = between.join(map(ENCODERS[method], (TEXT, b"", NOISE, TEXT))) + b"rest"
    assert unpacked(Packed(method, memoryview(archive), None)) == (TEXT + NOISE + TEXT, None)


def test_many_small_streams_are_no_bomb() -> None:
    """As bgzip makes them, but shorter: 100,000 are within the bounds."""
    archive = gzip.compress(b"a little") * 10_000
    packed = Packed(GZIP_FILE, memoryview(archive), None)
    assert unpacked(packed, ContainerBounds(output=40 * MIB)) == (b"a little" * 10_000, None)


@pytest.mark.parametrize("method", [LZIP, GZIP_FILE, BZIP2_FILE, XZ_FILE])
def test_streams_without_content_are_spent_as_well(method: int) -> None:
    """A million of them are 20 MB, and seconds of work."""
    packed = Packed(method, memoryview(ENCODERS[method](b"") * 1000), None)
    assert unpacked(packed, ContainerBounds(output=2 * MIB)) == (b"", ContainerLimit.OUTPUT)


def test_a_xz_as_its_highest_level_makes_it() -> None:
    """Its dictionary has 64 MiB, whatever the size of the file."""
    archive = lzma.compress(TEXT, preset=9)
    assert unpacked(Packed(XZ_FILE, memoryview(archive), None)) == (TEXT, None)


def test_a_lzip_with_a_large_dictionary_is_not_read() -> None:
    """Its header alone would make the decoder take the memory."""
    archive = as_lzip(TEXT).replace(b"LZIP\x01\x14", b"LZIP\x01\x1d")
    assert unpacked(Packed(LZIP, memoryview(archive), None)) == (b"", ContainerLimit.MEMORY)


def test_a_cut_lzip_is_broken() -> None:
    """What comes before the cut is content."""
    content, fault = unpacked(Packed(LZIP, memoryview(as_lzip(NOISE)[:50_000]), None))
    assert fault is DataFault.BROKEN
    assert NOISE.startswith(content)


@pytest.mark.parametrize(("whole", "content"), [(b"", b""), (as_lzip(TEXT), TEXT)])
def test_a_lzip_that_is_cut_in_a_header_is_broken(whole: bytes, content: bytes) -> None:
    """Of the header only the signature is left."""
    assert unpacked(Packed(LZIP, memoryview(whole + b"LZIP\x01"), None)) == (content, DataFault.BROKEN)
