"""Zips that readers understand differently: each content that one of them would show is found."""

import io
import zipfile
from itertools import chain
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.anomalies import ZipAnomaly as A
from miltscan.core.containers.budget import Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import DataFault, Packed, decompress
from miltscan.core.containers.zip import ZipArchive, read_zip
from tests.fakes.zips import PAYLOAD, Fields, central, closed, deflated, end, local, plain

OTHER = b"harmless\n"
BOTH = PAYLOAD + OTHER
PACKED = deflated(PAYLOAD)
MEMBER = len(local() + PAYLOAD)
DEFLATED = Fields(method=8, packed=len(PACKED))
OPEN = Fields(flags=8, packed=0, size=0)
SMALL = Fields(packed=3, size=3)
B = Fields(b"b", packed=len(OTHER), size=len(OTHER))
ZIP64 = b"\x01\x00\x10\x00" + 2 * len(PAYLOAD).to_bytes(8, "little")
DESCRIPTOR = b"PK\7\10crc!" + 2 * len(PAYLOAD).to_bytes(4, "little")
UNICODE_NAME = b"\x75\x70\x0a\0\1crc!d.exe"


def content(reading: Packed) -> bytes:
    """The content of a reading as far as it can be read."""
    pieces = decompress(reading, Budget(ContainerBounds(), 1000))
    return b"".join(piece for piece in pieces if not isinstance(piece, DataFault | ContainerLimit))


def contents(archive: ZipArchive) -> list[bytes]:
    """The contents of all readings."""
    return [content(reading) for member in archive.members for reading in chain(member.readings, member.others)]


def test_a_plain_archive_has_one_reading() -> None:
    """Nothing is odd about it, and a stored content is a view of the archive, not a copy."""
    raw = plain()
    archive = read_zip(raw)
    (member,) = archive.members
    assert archive == ZipArchive((member,), frozenset(), frozenset())
    assert (member.path, member.names, member.size) == ("0", (b"a.txt",), len(PAYLOAD))
    assert (member.encrypted, member.too_large, member.disagrees) == (False, False, False)
    (reading,) = member.readings
    assert bytes(reading.data) == PAYLOAD
    assert reading.data.obj is raw


ODD = {
    "no directory": (local() + PAYLOAD, {A.NO_DIRECTORY}),
    "no directory, deflated": (local(DEFLATED) + PACKED, {A.NO_DIRECTORY}),
    "no directory, sizes behind": (local(OPEN._replace(method=8)) + PACKED + b"PK\7\10???", {A.NO_DIRECTORY}),
    "no end": (local() + PAYLOAD + central(), {A.NO_END, A.DIRECTORY_DIFFERS}),
    "data before": (b"MZ program" + closed(local() + PAYLOAD, central()), {A.DATA_BEFORE}),
    "data before, in all offsets": (closed(b"MZ" + local() + PAYLOAD, central(Fields(offset=2))), {A.DATA_BEFORE}),
    "data after": (plain() + b"\r\n", {A.DATA_AFTER}),
    "cut in the comment": (plain()[:-2] + b"\5\0ab", {A.TRUNCATED}),
    "cut in the data": (local(Fields(packed=1000, size=1000)) + PAYLOAD, {A.NO_DIRECTORY, A.TRUNCATED}),
    "joined": (plain(b"b", OTHER) + plain(), {A.JOINED}),
    "joined, the first one is it": (plain() + plain(b"b", OTHER), {A.JOINED}),
    "hidden": (
        closed(local() + PAYLOAD + local(B) + OTHER, central(B._replace(offset=MEMBER))),
        {A.HIDDEN_MEMBER},
    ),
    "hidden in a field": (
        closed(local(B._replace(extra=local() + PAYLOAD)) + OTHER, central(B)),
        {A.HIDDEN_MEMBER, A.OVERLAP},
    ),
    "wrong offset": (closed(local() + PAYLOAD, central(Fields(offset=7))), {A.OFFSET_WRONG}),
    "wrong offset of the directory": (local() + PAYLOAD + central() + end(1, 51, MEMBER - 6), {A.OFFSET_WRONG}),
    "wrong number of members": (local() + PAYLOAD + central() + end(2, 51, MEMBER), {A.DIRECTORY_DIFFERS}),
    "no signature": (closed(b"pk" + local()[2:] + PAYLOAD, central()), {A.LOCAL_MISSING}),
    "stored in fact": (closed(local() + PAYLOAD, central(Fields(method=8))), {A.METHOD_DIFFERS}),
    "deflated in fact": (
        closed(local(DEFLATED) + PACKED, central(Fields(packed=len(PACKED), size=len(PACKED)))),
        {A.METHOD_DIFFERS, A.SIZE_DIFFERS},
    ),
    "smaller in the directory": (closed(local() + PAYLOAD, central(SMALL)), {A.SIZE_DIFFERS}),
    "smaller in the local header": (closed(local(SMALL) + PAYLOAD, central()), {A.SIZE_DIFFERS}),
    "nothing in the local header": (closed(local(Fields(packed=0, size=0)) + PAYLOAD, central()), {A.SIZE_DIFFERS}),
    "two sizes of stored data": (
        closed(local(Fields(packed=len(BOTH))) + BOTH, central(Fields(packed=len(BOTH)))),
        {A.SIZE_DIFFERS},
    ),
    "longer than both headers say": (
        closed(local(DEFLATED._replace(size=3)) + PACKED, central(DEFLATED._replace(size=3))),
        set(),
    ),
    "encrypted in one header": (closed(local(Fields(flags=1)) + PAYLOAD, central()), {A.FLAGS_DIFFER}),
    "encrypted, not in fact": (closed(local(Fields(flags=1)) + PAYLOAD, central(Fields(flags=1))), set()),
    "another name": (closed(local(Fields(b"a.exe")) + PAYLOAD, central()), {A.NAME_DIFFERS}),
    "another Unicode name": (closed(local() + PAYLOAD, central(Fields(extra=UNICODE_NAME))), {A.NAME_DIFFERS}),
    "zip64": (closed(local(Fields(packed=2**32 - 1, size=2**32 - 1, extra=ZIP64)) + PAYLOAD, central()), set()),
    "stored, sizes behind": (closed(local(OPEN) + PAYLOAD + DESCRIPTOR, central(Fields(flags=8))), set()),
    "stored, sizes nowhere else": (closed(local(OPEN) + PAYLOAD, central(Fields(flags=8))), set()),
    "stored, smaller in the directory than behind the data": (
        closed(local(OPEN) + PAYLOAD + DESCRIPTOR, central(SMALL._replace(flags=8))),
        {A.SIZE_DIFFERS},
    ),
    "within another one": (
        closed(
            local(Fields(packed=MEMBER, size=MEMBER)) + local() + PAYLOAD,
            central(Fields(packed=MEMBER, size=MEMBER)),
            central(Fields(offset=len(local()))),
        ),
        {A.OVERLAP},
    ),
}


@pytest.mark.parametrize(("raw", "anomalies"), ODD.values(), ids=ODD)
def test_the_content_of_an_odd_archive_is_found(raw: bytes, anomalies: set[A]) -> None:
    """The payload is one of the contents, byte for byte, and what is odd has its name."""
    archive = read_zip(raw)
    assert PAYLOAD in contents(archive)
    assert archive.anomalies == anomalies
    assert archive.exceeded == frozenset()


def test_stored_data_of_unknown_size_end_at_their_descriptor() -> None:
    """With its signature or without, wherever the next header is; a payload may hold signatures itself."""
    data = b"PK\7\10 PK\3\4" + PAYLOAD
    sizes = b"crc!" + 2 * len(data).to_bytes(4, "little")
    for descriptor in (b"PK\7\10" + sizes, b"PK\7\10crc!" + 2 * len(data).to_bytes(8, "little")):
        raw = local(OPEN) + data + descriptor + local(B) + OTHER
        assert data in contents(read_zip(raw))
    raw = local(OPEN) + PAYLOAD + b"crc!" + 2 * len(PAYLOAD).to_bytes(4, "little") + local(B) + OTHER
    assert contents(read_zip(raw)) == [PAYLOAD, OTHER]


def holding(fields: Fields, data: bytes) -> bytes:
    """An archive of one member, whose content is another archive."""
    return closed(local(fields) + data, central(fields))


INNER = plain(b"inner.txt")
BLOCK = b"\x01" + pack("<HH", len(INNER), 0xFFFF - len(INNER)) + INNER
"""The inner archive as deflate has what it cannot make smaller."""
NESTED = {
    "stored": holding(Fields(b"inner.zip", 0, 0, len(INNER), len(INNER)), INNER),
    "deflated, but not smaller": holding(Fields(b"inner.zip", 0, 8, len(BLOCK), len(INNER)), BLOCK),
    "deflated, sizes behind": closed(
        local(Fields(b"inner.zip", 8, 8, 0, 0)) + BLOCK + b"PK\7\10?",
        central(Fields(b"inner.zip", 8, 8, len(BLOCK), len(INNER))),
    ),
    "stored, sizes behind": closed(
        local(Fields(b"inner.zip", 8, 0, 0, 0)) + INNER + b"PK\7\10crc!" + 2 * pack("<I", len(INNER)),
        central(Fields(b"inner.zip", 8, 0, len(INNER), len(INNER))),
    ),
    "encrypted, not in fact": holding(Fields(b"inner.zip", 1, 0, len(INNER), len(INNER)), INNER),
}


@pytest.mark.parametrize("raw", NESTED.values(), ids=NESTED)
def test_an_archive_in_an_archive_is_one_member(raw: bytes) -> None:
    """Its records belong to the content of that member, which is read by itself."""
    archive = read_zip(raw)
    assert [member.names for member in archive.members] == [(b"inner.zip",)]
    assert archive.anomalies == frozenset()
    assert [content(reading) for reading in archive.members[0].readings] == [INNER]
    assert contents(read_zip(INNER)) == [PAYLOAD]


SURPLUS = deflated(OTHER) + local() + PAYLOAD
DOUBTFUL = {
    "behind the end of a stream": closed(
        local(Fields(b"b", 8, 8, 0, 0)) + SURPLUS, central(Fields(b"b", 8, 8, len(SURPLUS), len(OTHER)))
    ),
    "behind its directory": closed(b"", central(Fields(b"b", 0, 0, len(INNER), len(INNER), b"", 69)))
    + local(Fields(b"b", 0, 0, len(INNER), len(INNER)))
    + INNER,
    "behind data that a descriptor ends": closed(
        local(OPEN) + OTHER + b"PK\7\10crc!" + 2 * pack("<I", len(OTHER)) + local() + PAYLOAD,
        central(Fields(flags=8, packed=len(OTHER) + 16 + MEMBER, size=len(OTHER) + 16 + MEMBER)),
    ),
    "in a stream that is broken": closed(
        local(Fields(b"b", 0, 8, MEMBER, 50)) + local() + PAYLOAD, central(Fields(b"b", 0, 8, MEMBER, 50))
    ),
}


@pytest.mark.parametrize("raw", DOUBTFUL.values(), ids=DOUBTFUL)
def test_a_member_that_may_end_elsewhere_hides_nothing(raw: bytes) -> None:
    """Readers that go on where the data end would show what is behind them."""
    archive = read_zip(raw)
    assert PAYLOAD in contents(archive)
    assert len(archive.members) > 1


def test_every_name_of_a_member_counts() -> None:
    """The names of both headers, and those in their extra fields."""
    raw = closed(local(Fields(b"a", extra=UNICODE_NAME)) + PAYLOAD, central(Fields(b"b")), central(Fields(b"c")))
    assert read_zip(raw).members[0].names == (b"a", b"d.exe", b"b", b"c")


def test_the_end_of_a_very_long_name_is_kept() -> None:
    """There the extension is."""
    (member,) = read_zip(plain(b"a" * 5000 + b".exe")).members
    assert member.names == (b"a" * 1020 + b".exe",)


def test_methods_that_are_not_read_are_named() -> None:
    """PPMd and Deflate64 need another program; the reading has what it needs."""
    for method in (98, 9):
        archive = read_zip(closed(local(Fields(method=method)) + PAYLOAD, central(Fields(method=method))))
        assert archive.anomalies == {A.METHOD_UNKNOWN}
        ((reading,),) = [member.readings for member in archive.members]
        assert (reading.method, bytes(reading.data)) == (method, PAYLOAD)


def test_encrypted_members_are_named() -> None:
    """By the flag of a password, or by WinZip's method, of which the data mean nothing without the password."""
    (member,) = read_zip(closed(local(Fields(flags=1)) + PAYLOAD, central(Fields(flags=1)))).members
    assert member.encrypted
    (member,) = read_zip(closed(local(Fields(method=99)) + PAYLOAD, central(Fields(method=99)))).members
    assert member.encrypted
    assert member.readings == ()


def test_a_member_above_the_largest_file_is_named() -> None:
    """For clamd it is clean; any header that claims the size is enough."""
    bounds = ContainerBounds(file=len(PAYLOAD) - 1)
    for raw in (plain(), closed(local(Fields(size=3)) + PAYLOAD, central())):
        archive = read_zip(raw, bounds)
        assert archive.exceeded == {ContainerLimit.FILE}
        assert archive.members[0].too_large
    assert read_zip(plain(), ContainerBounds(file=len(PAYLOAD))).exceeded == frozenset()


def many(count: int) -> bytes:
    """An archive of so many members that share one directory entry each."""
    members = b"".join(local(Fields(b"%d" % number)) + PAYLOAD for number in range(count))
    step = len(members) // count
    return closed(members, *(central(Fields(b"%d" % number, offset=number * step)) for number in range(count)))


def test_members_are_bounded() -> None:
    """Of too many members the first ones are read, and the bound is named."""
    bounds = ContainerBounds(members=8)
    assert read_zip(many(8), bounds).exceeded == frozenset()
    archive = read_zip(many(9), bounds)
    assert len(archive.members) == 8
    assert archive.exceeded == {ContainerLimit.MEMBERS}
    assert archive.anomalies == frozenset()


def test_readings_are_bounded() -> None:
    """Many headers of one member with sizes and methods of their own would multiply them."""
    directory = [central(Fields(method=number, packed=number + 1, size=number)) for number in range(1, 100)]
    archive = read_zip(closed(local() + PAYLOAD, *directory), ContainerBounds(members=100))
    assert archive.exceeded == {ContainerLimit.MEMBERS}
    assert archive.members == ()


def test_the_deadline_holds() -> None:
    """The clock is looked at after each member."""
    ticks = iter(range(100))
    archive = read_zip(many(9), ContainerBounds(clock=lambda: next(ticks), deadline=3.0))
    assert len(archive.members) == 4
    assert archive.exceeded == {ContainerLimit.TIME}


@pytest.mark.parametrize("signature", [b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\7\10", b"PK", b"P", b"\0"])
def test_a_long_row_of_signatures_costs_no_more_than_the_bound(signature: bytes) -> None:
    """Headers that overlap have names and extra fields of 64 KiB each."""
    archive = read_zip(signature * (2_000_000 // len(signature)))
    assert len(archive.members) <= 10_000
    assert sum(len(name) for member in archive.members for name in member.names) <= 10_000 * 1024 * 4


MEMBERS = st.lists(
    st.tuples(
        st.text("ab/", min_size=1, max_size=5),
        st.sampled_from([b"", b"short", b"a long text, " * 500, bytes(range(256)) * 300]),
        st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    ),
    max_size=5,
    unique_by=lambda member: member[0],
)


class Pipe(io.BytesIO):
    """A file without positions: sizes follow the data."""

    def tell(self) -> int:
        """No position is known."""
        raise OSError


def zipped(members: list[tuple[str, bytes, int]], *, pipe: bool) -> bytes:
    """The archive that Python's zipfile makes."""
    target = Pipe() if pipe else io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data, method in members:
            archive.writestr(name, data, method)
    return target.getvalue()


@given(members=MEMBERS, pipe=st.booleans(), front=st.sampled_from([b"", b"a program"]))
def test_any_archive_of_zipfile_is_read_whole(
    *, members: list[tuple[str, bytes, int]], pipe: bool, front: bytes
) -> None:
    """One reading for each member that has content, its name as it was, and nothing odd but data in front."""
    archive = read_zip(front + zipped(members, pipe=pipe))
    assert [member.names for member in archive.members] == [(name.encode(),) for name, _, _ in members]
    found = [b"".join(map(content, member.readings)) for member in archive.members]
    assert found == [data for _, data, _ in members]
    assert all(len(member.readings) <= 1 for member in archive.members)
    assert archive.anomalies == ({A.DATA_BEFORE} if front and members else frozenset())


@given(
    members=MEMBERS,
    pipe=st.booleans(),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=6)), max_size=8),
)
def test_nothing_raises(*, members: list[tuple[str, bytes, int]], pipe: bool, changes: list[tuple[int, bytes]]) -> None:
    """Archives with bytes changed anywhere are read to the end, twice the same."""
    raw = bytearray(zipped(members, pipe=pipe))
    for place, new in changes:
        at = place % (len(raw) + 1)
        raw[at : at + len(new)] = new
    archive = read_zip(bytes(raw))
    contents(archive)
    assert read_zip(bytes(raw)) == archive
