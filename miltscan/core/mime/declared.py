"""What a header declares: the content of its fields Content-*, and whether all readers agree about them. Pure."""

from functools import lru_cache
from typing import NamedTuple

from miltscan.core.attachment_names import every_name
from miltscan.core.mime.closed import Anomaly
from miltscan.core.mime.fields import HeaderFields
from miltscan.core.mime.parameters import Name, Value, read_value
from miltscan.core.mime.transfer import TransferEncoding, named_encodings

TEXT = b"text/plain"
"""The type of a part without one (RFC 2045, section 5.2)."""
MESSAGE = b"message/rfc822"
"""The type of a part of multipart/digest without one (RFC 2046, section 5.1.5)."""
MESSAGES = frozenset({MESSAGE, b"message/global", b"message/news"})
"""The types whose body is a message with a header of its own."""
_HEADERS = b"text/rfc822-headers"
"""The type of the header of a message (RFC 6522); some readers show a body behind it."""
_PARTIAL = b"message/partial"
"""A piece of a message: nothing of it can be scanned whole (RFC 2046, section 5.2.2)."""
_KNOWN = frozenset({b"text", b"image", b"audio", b"video", b"application", b"font", b"model", b"message", b"multipart"})
_SCANNED_WHOLE = frozenset({b"mixed", b"alternative", b"related", b"report"})
"""The multiparts in which scanners of raw mail look at every part; they skip the second one of multipart/signed."""
_CMS = frozenset({b"application/pkcs7-mime", b"application/x-pkcs7-mime"})
"""The types of opaque S/MIME (RFC 8551)."""
_NOT_SCANNED = _CMS | {b"message/global", b"message/news", b"message/external-body", _PARTIAL}
"""The types that scanners of raw mail do not look into."""


_REMEMBERED = 256
"""Bytes of the fields of a header up to which what they declare is remembered."""


class Declared(NamedTuple):
    """What a part says of itself, in all readings."""

    types: tuple[bytes, ...]
    boundaries: tuple[bytes, ...]
    names: tuple[Name, ...]
    transfers: tuple[TransferEncoding, ...]
    anomalies: tuple[Anomaly, ...]
    known: bool
    """Whether all readers agree, and scanners of raw mail know what to do with it."""
    version: bool
    """Whether it says once that it follows MIME 1.0, as a message has to (RFC 2045, section 4)."""
    multipart: bool
    """Whether some reader takes it for a multipart."""
    message: bool
    """Whether some reader takes it for a message."""
    headers: bool
    """Whether it is the header of a message, as it is in delivery reports."""
    cms: bool
    """Whether some reader takes it for opaque S/MIME, by its type or by its name."""
    text: bool
    """Whether all readers take it for a text, whose line ends are theirs to choose."""
    encoded: bool
    """Whether some reader decodes it."""

    @property
    def simple(self) -> bool:
        """Whether it is a text as it stands, for all readers."""
        return self.known and self.text and not (self.encoded or self.boundaries or self.headers or self.cms)


def declare(header: HeaderFields, default: bytes) -> Declared:
    """What a header declares; `default` is the type of one that names none."""
    said = header.types, header.encodings, header.dispositions, header.versions
    short = sum(len(value) for values in said for value in values) <= _REMEMBERED
    return (_remembered if short else _declare)(said, default, strict=header.strict)


def _declare(said: tuple[tuple[bytes, ...], ...], default: bytes, *, strict: bool) -> Declared:
    types, encodings, dispositions, versions = said
    values = [read_value(value) for value in (*dispositions, *types)]
    encoding = named_encodings(encodings, certain=strict)
    anomalies = [*encoding.anomalies]
    if not strict:
        anomalies.append(Anomaly.HEADER_BROKEN)
    if len(types) > 1:
        anomalies.append(Anomaly.TYPE_TWICE)
    of_types = values[len(dispositions) :]
    if not all(value.strict for value in of_types):
        anomalies.append(Anomaly.TYPE_BROKEN)
    if any(value.kind == _PARTIAL for value in of_types):
        anomalies.append(Anomaly.MESSAGE_PARTIAL)
    kinds = tuple(dict.fromkeys(value.kind for value in of_types if value.kind)) or (default,)
    names = tuple(dict.fromkeys(name for value in values for name in value.names))
    return Declared(
        kinds,
        tuple(dict.fromkeys(boundary for value in of_types for boundary in value.boundaries)),
        names,
        encoding.transfers,
        tuple(anomalies),
        known=not anomalies and encoding.certain and len(dispositions) < 2 and _known(kinds[0], values),  # noqa: PLR2004
        version=[value.partition(b"(")[0].strip() for value in versions] == [b"1.0"],
        multipart=any(kind.startswith(b"multipart/") for kind in kinds),
        message=not MESSAGES.isdisjoint(kinds),
        headers=_HEADERS in kinds,
        cms=not _CMS.isdisjoint(kinds) or any(name.lower().endswith(".p7m") for name in every_name(names)),
        text=all(kind.startswith(b"text/") for kind in kinds),
        encoded=encoding.transfers != (TransferEncoding.IDENTITY,),
    )


_remembered = lru_cache(maxsize=1024)(_declare)  # most parts declare what many others do


def _known(kind: bytes, values: list[Value]) -> bool:
    family, _, subtype = kind.partition(b"/")
    return (
        all(value.strict for value in values)
        and family in _KNOWN
        and bool(subtype)
        and (family != b"multipart" or subtype in _SCANNED_WHOLE)
        and kind not in _NOT_SCANNED
    )
