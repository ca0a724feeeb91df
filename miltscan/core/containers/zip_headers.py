"""The records of a zip archive (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5), each read where its signature stands.

Nothing here believes one record more than another: `zip` compares them.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

LOCAL, CENTRAL, END, DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08"
LOCAL_SIZE = 30
"""Bytes of a local header before the name."""
ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
"""The flags of an encrypted member: by password, strongly, with its header masked."""
SIZES_FOLLOW = 1 << 3
"""The flag of a member whose sizes stand behind its data, in a data descriptor."""
AES = 99
"""The method of a member that WinZip encrypted; the real one is in an extra field."""

_LOCAL = Struct("<4x2xHH4x4xIIHH")
_CENTRAL = Struct("<4x4xHH4x4xIIHHH8xI")
_END = Struct("<4x6xHIIH")
_END64 = Struct("<4x28xQQQ")
_FIELD = Struct("<HH")
_LOCATOR = b"PK\x06\x07"
_LOCATOR_SIZE, _END64_SIZE = 20, 56
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_LONGEST_NAME = 1024  # bytes that are kept, the last ones: no file system has longer names, and there may be many
_MOST_FIELDS = 64  # that are looked at: ordinary headers have at most ten
_CHUNK = 256 * 1024


class ZipHeader(NamedTuple):
    """What one header says of a member. `at` and `after` are the positions of the header and of the byte behind it.

    `names` has the name (of a very long one the end) and, where an extra field holds another one, its Unicode form.
    `packed` and `size` are the bytes of the member compressed and not; None where a local header leaves them to the
    data descriptor. `offset` is that of the local header as a central header has it.
    """

    at: int
    after: int
    flags: int
    method: int
    packed: int | None
    size: int | None
    names: tuple[bytes, ...]
    offset: int = 0

    @property
    def encrypted(self) -> bool:
        """Whether a reader would ask for a password."""
        return bool(self.flags & ENCRYPTED) or self.method == AES


class EndRecord(NamedTuple):
    """The end of a central directory: at `at`, with its comment up to `after`; the directory begins at `directory`.

    `base` is the position that offsets count from: 0, or the bytes that were put in front of the archive.
    """

    at: int
    after: int
    directory: int
    base: int
    entries: int


def positions(data: memoryview, signature: bytes) -> Iterator[int]:
    """Every position of the signature, in order; a view has no `find`, and a copy of all of it would cost memory."""
    for start in range(0, len(data), _CHUNK):
        chunk = bytes(data[start : start + _CHUNK + len(signature) - 1])
        found = chunk.find(signature)
        while found >= 0:
            yield start + found
            found = chunk.find(signature, found + 1)


def local_header(data: memoryview, at: int) -> ZipHeader | None:
    """The local header at a position; None if the data ends within it."""
    if at + LOCAL_SIZE > len(data):
        return None
    flags, method, packed, size, name_size, extra_size = _LOCAL.unpack_from(data, at)
    name_end = at + LOCAL_SIZE + name_size
    after = name_end + extra_size
    if after > len(data):
        return None
    extra = data[name_end:after]
    if _MAX32 in {packed, size}:
        large = _numbers(_field(extra, _ZIP64), 2)  # a local header has both or none (4.5.3)
        size, packed = large if len(large) == 2 else (size, packed)  # noqa: PLR2004 - both
    unknown = flags & SIZES_FOLLOW and not packed  # some programs know the size all the same
    return ZipHeader(
        at,
        after,
        flags,
        method,
        None if unknown else packed,
        (size or None) if unknown else size,
        _names(data[at + LOCAL_SIZE : name_end], extra),
    )


def central_header(data: memoryview, at: int) -> ZipHeader | None:
    """The central header at a position; None if the data ends within it."""
    if at + _CENTRAL.size > len(data):
        return None
    flags, method, packed, size, name_size, extra_size, comment_size, offset = _CENTRAL.unpack_from(data, at)
    name_end = at + _CENTRAL.size + name_size
    after = name_end + extra_size + comment_size
    if name_end + extra_size > len(data):
        return None
    extra = data[name_end : name_end + extra_size]
    if _MAX32 in {packed, size, offset}:  # the extra field has those that do not fit, in this order (4.5.3)
        large = iter(_numbers(_field(extra, _ZIP64), 3))
        size, packed, offset = (next(large, each) if each == _MAX32 else each for each in (size, packed, offset))
    names = _names(data[at + _CENTRAL.size : name_end], extra)
    return ZipHeader(at, min(after, len(data)), flags, method, packed, size, names, offset)


def end_record(data: memoryview, at: int) -> EndRecord | None:
    """The end of central directory at a position, with the numbers of its zip64 form if that stands before it."""
    if at + _END.size > len(data):
        return None
    count, size, offset, comment_size = _END.unpack_from(data, at)
    end = at
    large = at - _LOCATOR_SIZE - _END64_SIZE
    if large >= 0 and data[large + _END64_SIZE : large + _END64_SIZE + 4] == _LOCATOR:
        count64, size64, offset64 = _END64.unpack_from(data, large)
        count = count64 if count == _MAX16 else count
        size = size64 if size == _MAX32 else size
        offset = offset64 if offset == _MAX32 else offset
        end = large
    directory = end - size
    return EndRecord(at, at + _END.size + comment_size, directory, directory - offset, count)


def descriptor_end(data: memoryview, start: int, end: int) -> int:
    """Where the data of a member ends that begins at `start` and is followed, up to `end`, by its data descriptor.

    The descriptor has 4 or 8 bytes for each size, and may have a signature (4.3.9); its size has to fit.
    """
    for width, skip, size in ((16, 8, 4), (24, 8, 8), (12, 4, 4), (20, 4, 8)):
        at = end - width
        if at >= start and int.from_bytes(data[at + skip : at + skip + size], "little") == at - start:
            return at
    return end


def descriptor_ends(data: memoryview, places: Iterable[int]) -> Iterator[tuple[int, int]]:
    """For each data descriptor at `places`: the start of the member's data that its size means, and its end."""
    for at in places:
        for size in (4, 8):
            yield at - int.from_bytes(data[at + 8 : at + 8 + size], "little"), at


def _names(raw: memoryview, extra: memoryview) -> tuple[bytes, ...]:
    name = bytes(raw[-_LONGEST_NAME:])
    path = bytes(_field(extra, _UNICODE_PATH)[5:][-_LONGEST_NAME:])  # behind a version and a CRC (4.6.9)
    return (name, path) if path and path != name else (name,)


def _field(extra: memoryview, wanted: int) -> memoryview:
    """The first extra field of this kind; empty if there is none."""
    at = 0
    for _ in range(_MOST_FIELDS):
        if at + 4 > len(extra):
            break
        kind, size = _FIELD.unpack_from(extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + size]
        at += 4 + size
    return extra[:0]


def _numbers(field: memoryview, most: int) -> list[int]:
    ends = range(8, min(len(field), 8 * most) + 1, 8)
    return [int.from_bytes(field[end - 8 : end], "little") for end in ends]
