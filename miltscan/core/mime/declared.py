"""What a header declares: the content of its fields Content-*, and whether all readers agree about them. Pure."""

from typing import NamedTuple

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

    @property
    def multipart(self) -> bool:
        """Whether some reader takes it for a multipart."""
        return any(kind.startswith(b"multipart/") for kind in self.types)

    @property
    def message(self) -> bool:
        """Whether some reader takes it for a message."""
        return not MESSAGES.isdisjoint(self.types)

    @property
    def headers(self) -> bool:
        """Whether it is the header of a message, as it is in delivery reports."""
        return _HEADERS in self.types

    @property
    def cms(self) -> bool:
        """Whether some reader takes it for opaque S/MIME, by its type or by its name."""
        return not _CMS.isdisjoint(self.types) or any(name.value.lower().endswith(b".p7m") for name in self.names)

    @property
    def text(self) -> bool:
        """Whether all readers take it for a text, whose line ends are theirs to choose."""
        return all(kind.startswith(b"text/") for kind in self.types)

    @property
    def encoded(self) -> bool:
        """Whether some reader decodes it."""
        return self.transfers != (TransferEncoding.IDENTITY,)


def declare(header: HeaderFields, default: bytes) -> Declared:
    """What a header declares; `default` is the type of one that names none."""
    types = [read_value(value) for value in header.types]
    dispositions = [read_value(value) for value in header.dispositions]
    encoding = named_encodings(header.encodings, certain=header.strict)
    anomalies = [*encoding.anomalies]
    if not header.strict:
        anomalies.append(Anomaly.HEADER_BROKEN)
    if len(types) > 1:
        anomalies.append(Anomaly.TYPE_TWICE)
    if not all(value.strict for value in types):
        anomalies.append(Anomaly.TYPE_BROKEN)
    if any(value.kind == _PARTIAL for value in types):
        anomalies.append(Anomaly.MESSAGE_PARTIAL)
    kinds = tuple(dict.fromkeys(value.kind for value in types if value.kind)) or (default,)
    values = [*dispositions, *types]
    return Declared(
        kinds,
        tuple(dict.fromkeys(boundary for value in types for boundary in value.boundaries)),
        tuple(dict.fromkeys(name for value in values for name in value.names)),
        encoding.transfers,
        tuple(anomalies),
        known=not anomalies and encoding.certain and len(dispositions) < 2 and _known(kinds[0], values),  # noqa: PLR2004
        version=[value.partition(b"(")[0].strip() for value in header.versions] == [b"1.0"],
    )


def _known(kind: bytes, values: list[Value]) -> bool:
    family, _, subtype = kind.partition(b"/")
    return (
        all(value.strict for value in values)
        and family in _KNOWN
        and bool(subtype)
        and (family != b"multipart" or subtype in _SCANNED_WHOLE)
        and kind not in _NOT_SCANNED
    )
