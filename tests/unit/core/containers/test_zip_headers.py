"""Each record of a zip, field by field."""

from struct import pack

import pytest

from miltscan.core.containers.zip_headers import (
    LOCAL,
    EndRecord,
    ZipHeader,
    central_header,
    descriptor_end,
    descriptor_ends,
    end_record,
    local_header,
    positions,
)
from tests.fakes.zips import Fields, central, end, local

MAX = 2**32 - 1
FIELDS = Fields(b"a.txt", flags=0x802, method=8, packed=11, size=22, extra=b"\1\0\0\0", offset=33)


def long(*numbers: int) -> bytes:
    """The extra field of zip64, behind another one."""
    return pack("<HHI", 0x5455, 4, 9) + pack("<HH", 1, 8 * len(numbers)) + pack(f"<{len(numbers)}Q", *numbers)


def header(at: int, after: int, fields: Fields = FIELDS, *, offset: int = 0) -> ZipHeader:
    """The header that has these fields."""
    return ZipHeader(at, after, fields.flags, fields.method, fields.packed, fields.size, (fields.name,), offset)


def test_a_local_header() -> None:
    """All its fields, wherever it stands."""
    raw = local(FIELDS)
    assert local_header(memoryview(raw), 0) == header(0, 39)
    assert local_header(memoryview(b"xyz" + raw + b"data"), 3) == header(3, 42)


def test_a_central_header() -> None:
    """All its fields, with the comment behind it."""
    raw = central(FIELDS)
    assert central_header(memoryview(raw), 0) == header(0, 55, offset=33)
    comment = bytearray(raw + b"comment")
    comment[32:34] = pack("<H", 7)
    assert central_header(memoryview(b"xyz" + comment), 3) == header(3, 65, offset=33)
    assert central_header(memoryview(b"xyz" + comment[:-3]), 3) == header(3, 62, offset=33)


def test_a_header_that_is_cut_is_none() -> None:
    """At each byte; only a comment may be shorter."""
    for raw, read in ((local(FIELDS), local_header), (central(FIELDS), central_header), (end(1, 2, 3), end_record)):
        assert [size for size in range(len(raw) + 1) if read(memoryview(raw[:size]), 0)] == [len(raw)]
        assert [size for size in range(len(raw) + 1) if read(memoryview(b"ab" + raw[:size]), 2)] == [len(raw)]


@pytest.mark.parametrize(
    ("fields", "packed", "size"),
    [
        (Fields(flags=8, packed=0, size=0), None, None),
        (Fields(flags=8, packed=0, size=5), None, 5),
        (Fields(flags=8, packed=4, size=5), 4, 5),
        (Fields(flags=0x806, packed=0, size=0), 0, 0),
        (Fields(flags=0x80E, packed=0, size=0), None, None),
        (Fields(packed=MAX, size=MAX, extra=long(2**33, 2**34)), 2**34, 2**33),
        (Fields(packed=7, size=MAX, extra=long(2**33, 9)), 9, 2**33),
        (Fields(packed=MAX, size=MAX, extra=long(2**33)), MAX, MAX),
        (Fields(packed=MAX, size=MAX), MAX, MAX),
        (Fields(packed=5, size=6, extra=long(2**33, 2**34)), 5, 6),
    ],
)
def test_the_sizes_in_a_local_header(fields: Fields, packed: int | None, size: int | None) -> None:
    """They may be behind the data, or in the field of zip64."""
    found = local_header(memoryview(local(fields)), 0)
    assert found
    assert (found.packed, found.size) == (packed, size)


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        (Fields(packed=MAX, size=MAX, offset=MAX, extra=long(1, 2, 3)), (2, 1, 3)),
        (Fields(packed=8, size=9, offset=MAX, extra=long(3)), (8, 9, 3)),
        (Fields(packed=MAX, size=9, offset=7, extra=long(2)), (2, 9, 7)),
        (Fields(packed=MAX, size=MAX, offset=MAX, extra=long(1)), (MAX, 1, MAX)),
        (Fields(packed=MAX, size=MAX, offset=MAX), (MAX, MAX, MAX)),
        (Fields(packed=0, size=0, flags=8, offset=7), (0, 0, 7)),
    ],
)
def test_the_numbers_in_a_central_header(fields: Fields, numbers: tuple[int, int, int]) -> None:
    """The field of zip64 has those that do not fit, in its order."""
    found = central_header(memoryview(central(fields)), 0)
    assert found
    assert (found.packed, found.size, found.offset) == numbers


def test_extra_fields_are_bounded() -> None:
    """A field behind very many is not found, and one that is cut has what is there."""
    path = b"\x75\x70\x09\0\1crc!b.md"
    for count, names in ((63, (b"a", b"b.md")), (64, (b"a",))):
        found = local_header(memoryview(local(Fields(b"a", extra=b"\2\0\0\0" * count + path))), 0)
        assert found
        assert found.names == names
    found = local_header(memoryview(local(Fields(b"a", extra=path[:-2]))), 0)
    assert found
    assert found.names == (b"a", b"b.")
    long_path = b"\x75\x70\x0c\x10\1crc!" + b"b" * 4100 + b".md"
    found = local_header(memoryview(local(Fields(b"a", extra=long_path))), 0)
    assert found
    assert found.names == (b"a", b"b" * 1021 + b".md")


@pytest.mark.parametrize(
    ("flags", "method", "encrypted"),
    [
        (0, 8, False),
        (1, 8, True),
        (1 << 6, 8, True),
        (1 << 13, 8, True),
        (0xDFBE, 8, False),
        (0, 99, True),
        (0, 100, False),
    ],
)
def test_what_is_encrypted(flags: int, method: int, encrypted: bool) -> None:  # noqa: FBT001 - a column of the table
    """By three flags and a method."""
    assert ZipHeader(0, 0, flags, method, 0, 0, (b"a",)).encrypted is encrypted


def test_the_end_of_a_directory() -> None:
    """The directory stands in front of it; where it is and where its offset says give the base."""
    raw = bytes(100) + end(2, 60, 30, b"comment")
    assert end_record(memoryview(raw), 100) == EndRecord(at=100, after=129, directory=40, base=10, entries=2)


def test_the_end_of_a_large_directory() -> None:
    """The numbers that do not fit are in the zip64 form, which stands between both with its locator."""
    large = b"PK\6\6" + pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 70000, 70000, 60, 30)
    locator = b"PK\6\7" + pack("<IQI", 0, 100, 1)
    front = bytes(100) + large + locator
    raw = memoryview(front + end(0xFFFF, MAX, MAX))
    assert end_record(raw, 176) == EndRecord(176, 198, directory=40, base=10, entries=70000)
    raw = memoryview(front + end(5, MAX, 20))
    assert end_record(raw, 176) == EndRecord(176, 198, directory=40, base=20, entries=5)
    raw = memoryview(front + end(0xFFFF, 50, MAX))
    assert end_record(raw, 176) == EndRecord(176, 198, directory=50, base=20, entries=70000)
    raw = memoryview(bytes(176) + end(0xFFFF, 50, 60))
    assert end_record(raw, 176) == EndRecord(176, 198, directory=126, base=66, entries=0xFFFF)
    assert end_record(memoryview(front[100:] + end(0xFFFF, 0, 0)), 76) == EndRecord(76, 98, 0, 0, 70000)


def test_positions_are_found_across_chunks() -> None:
    """Each once, in order, also where two steps of the search meet, and those that overlap."""
    chunk = 256 * 1024
    for place in (0, 1, chunk - 4, chunk - 3, chunk - 2, chunk - 1, chunk, chunk + 1, 2 * chunk - 1):
        raw = bytearray(3 * chunk)
        raw[place : place + 4] = LOCAL
        assert [*positions(memoryview(raw), LOCAL)] == [place]
    assert [*positions(memoryview(b"aaaa"), b"aa")] == [0, 1, 2]
    assert [*positions(memoryview(b"PK\3"), LOCAL)] == []


DESCRIPTORS = {
    "with a signature": b"PK\7\10crc!" + pack("<II", 5, 99),
    "with a signature, large": b"PK\7\10crc!" + pack("<QQ", 5, 99),
    "bare": b"crc!" + pack("<II", 5, 99),
    "bare, large": b"crc!" + pack("<QQ", 5, 99),
}


@pytest.mark.parametrize("descriptor", DESCRIPTORS.values(), ids=DESCRIPTORS)
def test_data_end_at_a_descriptor_whose_size_fits(descriptor: bytes) -> None:
    """It stands between the data and what follows."""
    raw = memoryview(b"xyhello" + descriptor + b"PK\1\2")
    assert descriptor_end(raw, 2, len(raw) - 4) == 7
    assert descriptor_end(raw, 1, len(raw) - 4) == len(raw) - 4
    assert descriptor_end(memoryview(b"xyhello"), 2, 7) == 7


def test_a_descriptor_says_where_its_data_begin() -> None:
    """By either width of its sizes."""
    raw = memoryview(b"xyhello" + DESCRIPTORS["with a signature"])
    assert next(descriptor_ends(raw, [7])) == (2, 7)
    raw = memoryview(b"xyhello" + DESCRIPTORS["with a signature, large"])
    assert [*descriptor_ends(raw, [7])] == [(2, 7), (2, 7)]
