"""What opaque S/MIME holds: the content of a signed or compressed CMS message (RFC 5652, 3274; RFC 8551). Never raises.

    cms = read_cms(body)        # the decoded body of an application/pkcs7-mime part: DER, BER or PEM
    cms.kind                    # CmsKind.SIGNED
    for piece in cms.chunks():  # the MIME entity that was signed; faults are the last pieces
        ...


The walk follows tags and lengths down to the content, and reads nothing behind it:

    SEQUENCE { OID signedData, [0] { SEQUENCE { version, ..., SEQUENCE { OID data, [0] { OCTET STRING } }, ... } } }

In all kinds of messages that are not encrypted, the content is in the first SEQUENCE that begins with an OID and a [0].
An octet string may be in pieces, each length definite or not. What is encrypted, also by OpenPGP (RFC 9580), has a kind
and no content.
"""

import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from miltscan.core.anomalies import CmsAnomaly
from miltscan.core.containers.budget import DEFAULT_BOUNDS, Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import ZLIB, DataFault, Packed, decompress
from miltscan.core.mime.ber import OCTET_STRING, BerElement, BerWalk
from miltscan.core.mime.openpgp import is_openpgp


class CmsKind(StrEnum):
    """What a body is: the kind of the innermost message that can be read."""

    NONE = "none"
    DATA = "data"
    SIGNED = "signed"
    DIGESTED = "digested"
    AUTHENTICATED = "authenticated"
    COMPRESSED = "compressed"
    ENCRYPTED = "encrypted"
    OPENPGP = "openpgp"

    @property
    def encrypted(self) -> bool:
        """Whether only the recipient can read the content."""
        return self in {CmsKind.ENCRYPTED, CmsKind.OPENPGP}


CmsPiece = bytes | memoryview | CmsAnomaly | ContainerLimit
"""A part of the content, or a fault: then the content ends."""


def _no_content() -> Iterator[CmsPiece]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Cms:
    """The innermost message, what is odd on the way to its content, and the bounds that were exceeded there."""

    kind: CmsKind
    anomalies: frozenset[CmsAnomaly] = frozenset()
    exceeded: frozenset[ContainerLimit] = frozenset()
    chunks: Callable[[], Iterator[CmsPiece]] = _no_content
    """The content in pieces, none for a detached signature. Each call reads it anew; nothing of it is kept."""


_PKCS7 = bytes.fromhex("2a864886f70d0107")  # 1.2.840.113549.1.7
_SMIME_CONTENT = bytes.fromhex("2a864886f70d01091001")  # 1.2.840.113549.1.9.16.1
_KINDS: Mapping[bytes, CmsKind] = {
    _PKCS7 + b"\x01": CmsKind.DATA,
    _PKCS7 + b"\x02": CmsKind.SIGNED,
    _PKCS7 + b"\x03": CmsKind.ENCRYPTED,
    _PKCS7 + b"\x04": CmsKind.ENCRYPTED,  # signed and enveloped, of PKCS #7
    _PKCS7 + b"\x05": CmsKind.DIGESTED,
    _PKCS7 + b"\x06": CmsKind.ENCRYPTED,
    _SMIME_CONTENT + b"\x02": CmsKind.AUTHENTICATED,
    _SMIME_CONTENT + b"\x09": CmsKind.COMPRESSED,
    _SMIME_CONTENT + b"\x17": CmsKind.ENCRYPTED,  # enveloped and authenticated (RFC 5083)
}
_OID, _SEQUENCE, _EXPLICIT_0, _CONSTRUCTED = 0x06, 0x30, 0xA0, 0x20
_LABELS = frozenset({b"CMS", b"PKCS7", b"PKCS #7 SIGNED DATA"})
_HEAD = 64  # bytes, in which the type of a message is
_LOOKED_AT = 64 * 1024  # bytes of text in front of a PEM message


def read_cms(data: bytes | memoryview, bounds: ContainerBounds = DEFAULT_BOUNDS) -> Cms:
    """Return the innermost message; `CmsKind.NONE` if the data are not CMS. The work is linear in their size."""
    view = memoryview(data)
    if is_openpgp(view):
        return Cms(CmsKind.OPENPGP)
    start = _armor(bytes(view[:_LOOKED_AT]))
    if start:
        if len(view) > bounds.memory:
            return Cms(CmsKind.NONE, exceeded=frozenset({ContainerLimit.MEMORY}))
        view = _without_armor(bytes(view[start:]))
    return _innermost(view, bounds)


def _innermost(view: memoryview, bounds: ContainerBounds) -> Cms:
    cms, inner = Cms(CmsKind.NONE), None
    for _ in range(bounds.depth):
        walk = BerWalk(view, Budget(bounds, len(view)))
        level = _level(walk, inner)
        if level is None:  # what is odd about it is not odd about CMS
            return cms
        chunks = partial(_chunks, view, level, bounds)
        cms = Cms(level.kind, cms.anomalies | walk.anomalies, cms.exceeded | walk.exceeded, chunks)
        if level.inner is None and not _begins_message(chunks(), bounds):
            return cms
        view, faults = _whole(chunks(), bounds.memory)
        anomalies = cms.anomalies | {fault for fault in faults if isinstance(fault, CmsAnomaly)}
        exceeded = cms.exceeded | {fault for fault in faults if isinstance(fault, ContainerLimit)}
        cms, inner = Cms(cms.kind, anomalies, exceeded, chunks), level.inner
    return replace(cms, exceeded=cms.exceeded | {ContainerLimit.DEPTH})


class _Level(NamedTuple):
    """A message: its kind, that of a message which is its content if that is said, and the element of its content."""

    kind: CmsKind
    inner: CmsKind | None = None
    value: BerElement | None = None


def _level(walk: BerWalk, kind: CmsKind | None) -> _Level | None:
    """The message at the begin of the data; None: there is none.

    Its kind is in front of it, in a ContentInfo; or it is `kind`, which the message around it says.
    """
    whole = walk.element(0)
    if whole is None:
        return None
    found, body = _typed(walk, whole)
    if found is None:
        found, body = kind, whole
    if found is None:
        return None
    if body is None or found is CmsKind.ENCRYPTED:
        return _Level(found)
    if found is CmsKind.DATA:
        return _Level(found, None, body)
    for child in walk.children(body):
        inner, value = _typed(walk, child)
        if value:
            return _Level(found, None if inner is CmsKind.DATA else inner, value)
    return _Level(found)


def _typed(walk: BerWalk, element: BerElement) -> tuple[CmsKind | None, BerElement | None]:
    """The kind that an OID at the begin of a SEQUENCE means, and the value in the [0] behind it."""
    if element.tag != _SEQUENCE:
        return None, None
    children = walk.children(element)
    oid = next(children, None)
    if oid is None or oid.tag != _OID:
        return None, None
    kind = _KINDS.get(bytes(walk.view[oid.start : oid.end]))
    explicit = next(children, None)
    value = next(walk.children(explicit), None) if explicit and explicit.tag == _EXPLICIT_0 else None
    return kind, value


def _chunks(view: memoryview, level: _Level, bounds: ContainerBounds) -> Iterator[CmsPiece]:
    """The content of a message; without a copy, unless it is compressed."""
    if level.value is None:
        return
    budget = Budget(bounds, len(view))
    walk = BerWalk(view, budget)
    pieces = _strings(walk, level.value, budget)
    yield from _inflated(pieces, budget) if level.kind is CmsKind.COMPRESSED else pieces
    yield from sorted(walk.anomalies)
    yield from sorted(walk.exceeded)


def _strings(walk: BerWalk, value: BerElement, budget: Budget) -> Iterator[CmsPiece]:
    """The pieces of an octet string; of another type, which PKCS #7 allowed, the encoded contents."""
    if not value.constructed or value.tag & ~_CONSTRUCTED != OCTET_STRING:
        yield walk.view[value.start : walk.after(value)]
        return
    for piece in walk.pieces(value):
        if exceeded := budget.spend(len(piece)):
            yield exceeded
            return
        yield piece


def _inflated(pieces: Iterator[CmsPiece], budget: Budget) -> Iterator[CmsPiece]:
    packed, faults = _whole(pieces, budget.bounds.memory)
    for piece in decompress(Packed(ZLIB, packed, None), budget):
        yield CmsAnomaly.DATA_BROKEN if isinstance(piece, DataFault) else piece
    yield from sorted(faults)


def _begins_message(pieces: Iterator[CmsPiece], bounds: ContainerBounds) -> bool:
    """Whether a content begins with a message of its own; its first bytes say it."""
    head = b""
    for piece in pieces:
        if isinstance(piece, CmsAnomaly | ContainerLimit) or len(head) >= _HEAD:
            break
        head += bytes(piece[:_HEAD])
    return _level(BerWalk(memoryview(head), Budget(bounds, _HEAD)), None) is not None


def _whole(pieces: Iterator[CmsPiece], most: int) -> tuple[memoryview, set[CmsAnomaly | ContainerLimit]]:
    """The content in one piece, and its faults; several pieces are joined up to `most` bytes."""
    first: bytes | memoryview = b""
    joined = bytearray()
    faults: set[CmsAnomaly | ContainerLimit] = set()
    for piece in pieces:
        if isinstance(piece, CmsAnomaly | ContainerLimit):
            faults.add(piece)
        elif not first:
            first = piece
        elif len(joined or first) + len(piece) > most:
            faults.add(ContainerLimit.MEMORY)
            break
        else:
            joined += b"" if joined else first
            joined += piece
    return memoryview(joined or first), faults


def _armor(head: bytes) -> int:
    """Where the text of a PEM message begins (RFC 7468); 0: there is none."""
    before, found, rest = head.partition(b"-----BEGIN ")
    label = rest.partition(b"-----")[0]
    return len(before + found + label) + 5 if found and label in _LABELS else 0


def _without_armor(text: bytes) -> memoryview:
    try:
        return memoryview(binascii.a2b_base64(text.partition(b"-----")[0]))
    except binascii.Error:
        return memoryview(text)
