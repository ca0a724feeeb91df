"""The content of a member, in pieces: deflate, bzip2, LZMA and xz by the standard library.

    for piece in decompress(packed, budget):
        if isinstance(piece, DataFault | ContainerLimit): ...      # always the last piece
        else: ...                                            # the next bytes

Pieces are at most 1 MiB, so that a member of any size costs little memory. A member that is only stored is one piece, a
view of the archive.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol

from miltscan.core.containers.budget import MIB, Budget, ContainerLimit

STORED, DEFLATE, BZIP2, LZMA, XZ = 0, 8, 12, 14, 95
"""The methods that are read (APPNOTE 4.4.5); others, such as Deflate64 (9), Zstandard (93) and PPMd (98), are not."""
ZLIB, ALONE, LZIP, GZIP_FILE, BZIP2_FILE, XZ_FILE = -1, -2, -3, -4, -5, -6
"""Formats for which zip has no number: zlib, which CMS uses (RFC 3274), and the files .lzma, .lz, .gz, .bz2 and .xz."""

_INPUT, _OUTPUT = 64 * 1024, MIB  # bytes of a step: the larger the input, the more a decoder copies when it is full
_FIRST_INPUT = 4 * 1024  # bytes of the first step of one of several streams, which may be as short as 14 bytes
_LZMA_HEADER, _LZMA_PROPERTIES, _SMALLEST_DICTIONARY = 9, 5, 4096  # bytes (APPNOTE 5.8.8; LZMA SDK)
_ALONE_HEADER = 13  # bytes (lzma-file-format.txt of the LZMA SDK)
_LZIP_MAGIC, _LZIP_HEADER, _LZIP_TRAILER = b"LZIP\x01", 6, 20  # bytes (manual of lzip, "File format")
_LARGEST_XZ = 72 * MIB  # bytes: `xz -9`, which is usual, has a dictionary of 64 MiB, of which what is used costs memory
_MEMORY_EXCEEDED = "Memory usage limit exceeded"  # CPython, Modules/_lzmamodule.c
_LZMA_SLACK = 4096  # bytes that a decoder makes of the end of a stream that has no end marker


class DataFault(StrEnum):
    """Why the data of a member are not what its header says."""

    METHOD_UNKNOWN = "method-unknown"
    BROKEN = "data-broken"
    LENGTH = "length-differs"
    SURPLUS = "data-surplus"


class Packed(NamedTuple):
    """One reading of a member: its compressed data, and the size at which a reader stops; None: at the stream's end."""

    method: int
    data: memoryview
    size: int | None


class _Decoder(Protocol):
    """What the decoders of bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Inflater:
    """A decoder of zlib, with the interface of the other two."""

    def __init__(self, window: int) -> None:
        self._stream = zlib.decompressobj(window)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        output = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self.needs_input = len(output) < max_length  # a full output may leave more in the decoder
        return output


Piece = bytes | memoryview | DataFault | ContainerLimit
"""A part of the content, or the fault that ends it."""


def decompress(packed: Packed, budget: Budget) -> Iterator[Piece]:
    """The content of one reading of a member in pieces; a fault is the last of them."""
    if packed.method == STORED:
        yield from _stored(packed, budget)
        return
    start, data = _STARTS.get(packed.method), packed.data
    if packed.method not in KNOWN_METHODS:
        yield DataFault.METHOD_UNKNOWN
        return
    try:
        pieces = _decoded(*start(packed, budget), budget) if start else _streams(_FILES[packed.method], data, budget)
        if _dictionary(packed) > budget.bounds.memory:
            pieces = _beginning(pieces, budget.bounds.memory)
        yield from _limited(packed, pieces, budget.bounds.file)
    except lzma.LZMAError as error:  # that of a dictionary above `memlimit` differs in its text only
        yield ContainerLimit.MEMORY if str(error) == _MEMORY_EXCEEDED else DataFault.BROKEN
    except (zlib.error, OSError, ValueError, EOFError):
        yield DataFault.BROKEN
    except (MemoryError, OverflowError):
        yield ContainerLimit.MEMORY


def _stored(packed: Packed, budget: Budget) -> Iterator[Piece]:
    if len(packed.data) > budget.bounds.file:
        yield ContainerLimit.FILE
        return
    exceeded = budget.spend(len(packed.data))
    yield exceeded or packed.data


def _decoded(decoder: _Decoder, data: memoryview, budget: Budget) -> Iterator[Piece]:
    """The output of a decoder, up to the end of its stream."""
    for at in range(0, len(data), _INPUT):
        given = bytes(data[at : at + _INPUT])
        while True:
            output = decoder.decompress(given, _OUTPUT)
            if exceeded := budget.spend(max(len(given), len(output))):
                yield exceeded
                return
            if output:
                yield output
            if decoder.eof:
                if decoder.unused_data or at + _INPUT < len(data):
                    yield DataFault.SURPLUS
                return
            if decoder.needs_input:
                break
            given = b""
    yield DataFault.BROKEN


def _dictionary(packed: Packed) -> int:
    """The bytes of the dictionary that a stream of LZMA asks for, which is never larger than the bound here."""
    start = {LZMA: 5, ALONE: 1}.get(packed.method)
    return int.from_bytes(packed.data[start : start + 4], "little") if start else 0


def _beginning(pieces: Iterator[Piece], most: int) -> Iterator[Piece]:
    """What a dictionary of `most` bytes suffices for, whatever the stream asks for. Raises MemoryError behind it."""
    total = 0
    for piece in pieces:
        total += 0 if isinstance(piece, DataFault | ContainerLimit) else len(piece)
        if total > most:
            raise MemoryError
        yield piece


def _limited(packed: Packed, pieces: Iterator[Piece], most: int) -> Iterator[Piece]:
    """The pieces up to the size in the header and to MaxFileSize; a fault if the stream has another length."""
    size, slack = packed.size, _LZMA_SLACK if packed.method == LZMA else 0
    total = 0
    for piece in pieces:
        if isinstance(piece, DataFault | ContainerLimit):
            unmarked = piece is DataFault.BROKEN and slack and size is not None and total >= size  # it just ends
            unsized = piece is DataFault.SURPLUS and size is None  # nobody said where it ends
            if not (unmarked or unsized):
                yield piece
            return
        total += len(piece)
        if (total if size is None else min(total, size)) > most:
            yield ContainerLimit.FILE
            return
        kept = piece if size is None or total <= size else piece[: max(0, len(piece) - (total - size))]
        if kept:
            yield kept
        if size is not None and total > size + slack:
            yield DataFault.LENGTH
            return
    if size is not None and total < size:
        yield DataFault.LENGTH


def _deflate(packed: Packed, _: Budget) -> tuple[_Decoder, memoryview]:
    return _Inflater(-zlib.MAX_WBITS), packed.data  # negative: without the header of zlib


def _zlib(packed: Packed, _: Budget) -> tuple[_Decoder, memoryview]:
    return _Inflater(zlib.MAX_WBITS), packed.data


def _bzip2(packed: Packed, _: Budget) -> tuple[_Decoder, memoryview]:
    return bz2.BZ2Decompressor(), packed.data


def _lzma(packed: Packed, budget: Budget) -> tuple[_Decoder, memoryview]:
    """LZMA of the first version: a header of our own to read, the stream without one."""
    header = bytes(packed.data[:_LZMA_HEADER])
    if len(header) < _LZMA_HEADER or int.from_bytes(header[2:4], "little") != _LZMA_PROPERTIES:
        raise lzma.LZMAError
    most = budget.bounds.memory
    dictionary = max(int.from_bytes(header[5:9], "little"), _SMALLEST_DICTIONARY)
    if dictionary > most and (packed.size or 0) > most:
        raise MemoryError
    rest, literal_context = divmod(header[4], 9)
    position, literal_position = divmod(rest, 5)
    properties = {
        "id": lzma.FILTER_LZMA1,
        "dict_size": min(dictionary, most),  # one that is larger than the content is never used
        "lc": literal_context,
        "lp": literal_position,
        "pb": position,
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[properties]), packed.data[_LZMA_HEADER:]


def _xz(packed: Packed, budget: Budget) -> tuple[_Decoder, memoryview]:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=budget.bounds.memory), packed.data


def _alone(packed: Packed, budget: Budget) -> tuple[_Decoder, memoryview]:
    header = bytes(packed.data[:_ALONE_HEADER])
    dictionary = min(int.from_bytes(header[1:5], "little"), budget.bounds.memory)
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
    decoder.decompress(header[:1] + dictionary.to_bytes(4, "little") + header[5:])  # has no output yet
    return decoder, packed.data[_ALONE_HEADER:]


class _File(NamedTuple):
    """A file of streams, one behind the other: how each begins, its header and decoder, the bytes behind it."""

    magic: bytes
    start: Callable[[memoryview, Budget], tuple[int, _Decoder]]
    trailer: int = 0


def _streams(file: _File, data: memoryview, budget: Budget) -> Iterator[Piece]:
    """The output of all streams, between which zeros may stand; what is no stream ends the file, as for its program."""
    at = 0
    while data[at : at + len(file.magic)] == file.magic:
        header, decoder = file.start(data[at:], budget)
        at += header
        window = _FIRST_INPUT
        while not decoder.eof:
            given = bytes(data[at : at + window]) if decoder.needs_input else b""
            if decoder.needs_input and not given:
                yield DataFault.BROKEN
                return
            at += len(given)
            window = min(2 * window, _INPUT)
            output = decoder.decompress(given, _OUTPUT)
            # what is not used counts as well: to copy it is most of the work where streams are short
            if exceeded := budget.spend(max(len(given), len(output))):
                yield exceeded
                return
            if output:
                yield output
        at += file.trailer - len(decoder.unused_data)
        at += _zeros(data[at:])
    if not at:
        yield DataFault.BROKEN


def _zeros(data: memoryview) -> int:
    """How many bytes at the begin are zero."""
    at = 0
    while at < len(data) and data[at] == 0:
        window = bytes(data[at : at + _INPUT])
        at += len(window) - len(window.lstrip(b"\0"))
    return at


def _start_lzip(data: memoryview, budget: Budget) -> tuple[int, _Decoder]:
    code = data[len(_LZIP_MAGIC)] if len(data) > len(_LZIP_MAGIC) else 0
    size = (1 << (code & 0x1F)) - (1 << (code & 0x1F)) // 16 * (code >> 5)
    if size > budget.bounds.memory:
        raise MemoryError
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": max(size, _SMALLEST_DICTIONARY), "lc": 3, "lp": 0, "pb": 2}]
    return _LZIP_HEADER, lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)


_FILES: Mapping[int, _File] = {
    LZIP: _File(_LZIP_MAGIC, _start_lzip, _LZIP_TRAILER),
    GZIP_FILE: _File(b"\x1f\x8b", lambda _, __: (0, _Inflater(zlib.MAX_WBITS + 16))),
    BZIP2_FILE: _File(b"BZh", lambda _, __: (0, bz2.BZ2Decompressor())),
    XZ_FILE: _File(b"\xfd7zXZ\0", lambda _, __: (0, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LARGEST_XZ))),
}
_STARTS: Mapping[int, Callable[[Packed, Budget], tuple[_Decoder, memoryview]]] = {
    DEFLATE: _deflate,
    BZIP2: _bzip2,
    LZMA: _lzma,
    XZ: _xz,
    ZLIB: _zlib,
    ALONE: _alone,
}
KNOWN_METHODS = frozenset({STORED, *_FILES, *_STARTS})
"""All methods that `decompress` reads."""
