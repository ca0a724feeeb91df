"""What opaque S/MIME holds: the content of a signed or compressed CMS message (RFC 5652, 3274; RFC 8551). Never raises.

    cms = read_cms(body)        # the decoded body of an application/pkcs7-mime part: DER, BER or PEM
    cms.kind, cms.content       # CmsKind.SIGNED, and the MIME entity that was signed

The walk follows tags and lengths down to the content, and reads nothing behind it:

    SEQUENCE { OID signedData, [0] { SEQUENCE { version, ..., SEQUENCE { OID data, [0] { OCTET STRING } }, ... } } }

In all kinds of messages that are not encrypted, the content is in the first SEQUENCE that begins with an OID and a [0].
An octet string may be in pieces, each length definite or not. What is encrypted, also by OpenPGP (RFC 9580), has a kind
and no content.
"""

import binascii
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.containers.budget import DEFAULT_BOUNDS, Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import ZLIB, DataFault, Packed, decompress
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


class CmsAnomaly(StrEnum):
    """What a plain CMS message does not have."""

    TRUNCATED = "cms-truncated"
    LENGTH_DIFFERS = "cms-length-differs"
    PIECE_STRANGE = "cms-piece-strange"
    DATA_BROKEN = "cms-data-broken"


class Cms(NamedTuple):
    """The content, empty for a detached signature; what is odd, and the bounds that were exceeded."""

    kind: CmsKind
    content: memoryview = memoryview(b"")
    anomalies: frozenset[CmsAnomaly] = frozenset()
    exceeded: frozenset[ContainerLimit] = frozenset()


class _Element(NamedTuple):
    """A BER element: its first tag byte, and where its contents begin and end; None: at an end-of-contents."""

    tag: int
    start: int
    end: int | None

    @property
    def ends_contents(self) -> bool:
        return self.tag == 0 and self.start == self.end

    @property
    def constructed(self) -> bool:
        return bool(self.tag & 0x20) or self.end is None


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
_OID, _OCTETS, _SEQUENCE, _EXPLICIT_0 = 0x06, 0x04, 0x30, 0xA0
_LONG_TAG, _MORE, _LONG_LENGTH, _INDEFINITE = 0x1F, 0x80, 0x80, 0x80
_LABELS = frozenset({b"CMS", b"PKCS7", b"PKCS #7 SIGNED DATA"})
_MOST_ELEMENTS = 300_000  # of one message; 100 MB in pieces of 1000 bytes, which are the smallest seen, are 100,000
_ELEMENTS_PER_LOOK = 1000  # at the clock
_LOOKED_AT = 64 * 1024  # bytes of text in front of a PEM message


def read_cms(data: bytes | memoryview, bounds: ContainerBounds = DEFAULT_BOUNDS) -> Cms:
    """Return the content of the innermost message; `CmsKind.NONE` if the data are not CMS. Linear in their size."""
    content = memoryview(data)
    if is_openpgp(content):
        return Cms(CmsKind.OPENPGP)
    content = _without_armor(content)
    budget = Budget(bounds, len(content))
    kind, inner = CmsKind.NONE, None
    anomalies: set[CmsAnomaly] = set()
    exceeded: set[ContainerLimit] = set()
    for _ in range(bounds.depth):
        walk = _Walk(content, budget)
        level = walk.message(inner)
        if level is None:  # what is odd about it is not odd about CMS
            break
        kind, inner, content = level
        anomalies |= walk.anomalies
        exceeded |= walk.exceeded
        if kind is CmsKind.ENCRYPTED:
            break
    else:
        exceeded.add(ContainerLimit.DEPTH)
    found = memoryview(b"") if kind is CmsKind.NONE else content
    return Cms(kind, found, frozenset(anomalies), frozenset(exceeded))


class _Walk:
    """The elements of one BER value, and what is odd about those that were looked at."""

    def __init__(self, view: memoryview, budget: Budget) -> None:
        self._view = view
        self._budget = budget
        self._elements = 0
        self.anomalies: set[CmsAnomaly] = set()
        self.exceeded: set[ContainerLimit] = set()

    def message(self, kind: CmsKind | None) -> tuple[CmsKind, CmsKind | None, memoryview] | None:
        """The kind of the message, the kind of a message that is its content, and the content; None: it is no message.

        The kind is in front of the message, in a ContentInfo; or it is `kind`, which the message around it says.
        """
        whole = self._element(0)
        if whole is None:
            return None
        found, body = self._typed(whole)
        if found is None:
            found, body = kind, whole
        if found is None or found is CmsKind.ENCRYPTED or body is None:
            return None if found is None else (found, None, memoryview(b""))
        if found is CmsKind.DATA:
            return found, None, self._octets(body)
        for child in self._children(body):
            inner, value = self._typed(child)
            if value:
                content = self._octets(value)
                inner = None if inner is CmsKind.DATA else inner
                return found, inner, self._inflated(content) if found is CmsKind.COMPRESSED else content
        return found, None, memoryview(b"")

    def _typed(self, element: _Element) -> tuple[CmsKind | None, _Element | None]:
        """The kind that an OID at the begin of a SEQUENCE means, and the value in the [0] behind it."""
        if element.tag != _SEQUENCE:
            return None, None
        children = self._children(element)
        oid = next(children, None)
        if oid is None or oid.tag != _OID:
            return None, None
        kind = _KINDS.get(bytes(self._view[oid.start : oid.end]))
        explicit = next(children, None)
        value = next(self._children(explicit), None) if explicit and explicit.tag == _EXPLICIT_0 else None
        return kind, value

    def _octets(self, element: _Element) -> memoryview:
        """The octets of a string; without a copy if it is in one piece, or is no string."""
        if not element.constructed or element.tag & ~0x20 != _OCTETS:
            return self._view[element.start : self._after(element)]
        return self._joined(self._pieces(element))

    def _inflated(self, content: memoryview) -> memoryview:
        joined = bytearray()
        for piece in decompress(Packed(ZLIB, content, None), self._budget):
            if isinstance(piece, ContainerLimit):
                self.exceeded.add(piece)
            elif isinstance(piece, DataFault):
                self.anomalies.add(CmsAnomaly.DATA_BROKEN)
            else:
                joined += piece
        return memoryview(joined).toreadonly()

    def _joined(self, pieces: Iterator[memoryview]) -> memoryview:
        joined = bytearray()
        for piece in pieces:
            if exceeded := self._budget.spend(len(piece)):
                self.exceeded.add(exceeded)
                break
            joined += piece
        return memoryview(joined).toreadonly()

    def _pieces(self, string: _Element) -> Iterator[memoryview]:
        """The pieces of a constructed string, at any depth up to the bound."""
        ends, at = [string.end], string.start
        while ends:
            if ends[-1] is not None and at >= ends[-1]:
                ends.pop()
                continue
            child = self._element(at)
            if child is None:
                self.anomalies.add(CmsAnomaly.TRUNCATED)
                return
            if child.ends_contents and ends[-1] is None:
                ends.pop()
            elif child.constructed:
                ends.append(child.end)
            else:
                if child.tag != _OCTETS:
                    self.anomalies.add(CmsAnomaly.PIECE_STRANGE)
                yield self._view[child.start : child.end]
            at = child.start if child.constructed or child.end is None else child.end
            if len(ends) > self._budget.bounds.depth:
                self.exceeded.add(ContainerLimit.DEPTH)
                return

    def _children(self, parent: _Element) -> Iterator[_Element]:
        """The elements inside another one; what is behind a child is looked for only if the next one is asked for."""
        at = parent.start
        while (parent.end is None or at < parent.end) and (child := self._element(at)):
            if child.ends_contents:
                return
            if parent.end is not None and (child.end or 0) > parent.end:
                self.anomalies.add(CmsAnomaly.LENGTH_DIFFERS)
            yield child
            at = self._after(child)

    def _after(self, element: _Element) -> int:
        """Where the contents of an element end; those of an indefinite length are walked over."""
        if element.end is not None:
            return element.end
        at, open_elements = element.start, 1
        while open_elements:
            child = self._element(at)
            if child is None:
                self.anomalies.add(CmsAnomaly.TRUNCATED)
                break
            if child.ends_contents:
                open_elements -= 1
            elif child.end is None:
                open_elements += 1
            at = child.start if child.end is None else child.end
        return at

    def _element(self, at: int) -> _Element | None:
        """The element at a position; None at the end of the data, or when a bound is exceeded."""
        view = self._view
        self._elements += 1
        if self._elements > _MOST_ELEMENTS:
            self.exceeded.add(ContainerLimit.MEMBERS)
        if self._elements % _ELEMENTS_PER_LOOK == 0 and (late := self._budget.late()):
            self.exceeded.add(late)
        if self.exceeded or at + 2 > len(view):
            return None
        tag = view[at]
        at += 1
        if tag & _LONG_TAG == _LONG_TAG:
            while at < len(view) and view[at] & _MORE:
                at += 1
            at += 1
        if at >= len(view):
            return None
        length = view[at]
        at += 1
        if length == _INDEFINITE:
            return _Element(tag, at, None)
        if length & _LONG_LENGTH:
            size = length & ~_LONG_LENGTH
            length = int.from_bytes(view[at : at + size], "big")
            at += size
        if at + length > len(view):
            self.anomalies.add(CmsAnomaly.TRUNCATED)
        return _Element(tag, min(at, len(view)), min(at + length, len(view)))


def _without_armor(view: memoryview) -> memoryview:
    """The decoded body of a PEM message (RFC 7468), or the data as they are."""
    head = bytes(view[:_LOOKED_AT])
    before, found, rest = head.partition(b"-----BEGIN ")
    label = rest.partition(b"-----")[0]
    if not found or label not in _LABELS:
        return view
    text = bytes(view[len(before) + len(found) + len(label) + 5 :])
    try:
        return memoryview(binascii.a2b_base64(text.partition(b"-----")[0]))
    except binascii.Error:
        return view
