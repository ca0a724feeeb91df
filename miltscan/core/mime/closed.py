"""The closed names of the MIME reader: what is odd, which bound was met, how a body is decoded. Pure.

They are labels of metrics, and fields of the log.
"""

from enum import StrEnum


class Anomaly(StrEnum):
    """What is odd about a message; docs/detection.md describes each."""

    HEADER_BROKEN = "header-broken"
    TYPE_TWICE = "type-twice"
    TYPE_BROKEN = "type-broken"
    ENCODING_TWICE = "encoding-twice"
    ENCODING_UNKNOWN = "encoding-unknown"
    ENCODING_ON_MULTIPART = "encoding-on-multipart"
    BOUNDARY_TWICE = "boundary-twice"
    BOUNDARY_ABSENT = "boundary-absent"
    DELIMITER_BROKEN = "delimiter-broken"
    MULTIPART_UNCLOSED = "multipart-unclosed"
    HIDDEN_PART = "hidden-part"
    HIDDEN_ATTACHMENTS = "hidden-attachments"
    MESSAGE_PARTIAL = "message-partial"
    BASE64_FOREIGN = "base64-foreign"
    PADDING_INSIDE = "padding-inside"
    PADDING_BROKEN = "padding-broken"
    QUOTED_BROKEN = "quoted-printable-broken"
    INLINE_ENCODED = "inline-encoded"


MALFORMED = frozenset({Anomaly.HIDDEN_ATTACHMENTS, Anomaly.MESSAGE_PARTIAL, Anomaly.PADDING_BROKEN})
"""A mail reader may show an attachment here that no reading is sure to have decoded. Everyday mail has none of them."""


class ReaderLimit(StrEnum):
    """A bound of `Bounds` that the message exceeds: what lies beyond it was not read."""

    DEPTH = "depth"
    PARTS = "parts"
    FIELDS = "fields"
    HEADER = "header"
    CANDIDATES = "candidates"
    OUTPUT = "output"
    MEMORY = "memory"
    SECONDS = "seconds"
    SIGNED = "signed"


class Decoding(StrEnum):
    """How the content of a part is made from its bytes in the message; `transfer` has the functions."""

    IDENTITY = "identity"
    BASE64 = "base64"
    BASE64_URL = "base64-url"
    BASE64_PIECES = "base64-pieces"
    BASE64_LINES = "base64-lines"
    BASE64_HEAD = "base64-head"
    BASE64_CUT = "base64-cut"
    BASE64_UNPADDED = "base64-unpadded"
    BASE64_QUADS = "base64-quads"
    BASE64_ZEROS = "base64-zeros"
    QUOTED = "quoted-printable"
    QUOTED_LF = "quoted-printable-lf"
    QUOTED_BLANKS = "quoted-printable-blanks"
    QUOTED_DROP0 = "quoted-printable-drop0"
    QUOTED_DROP1 = "quoted-printable-drop1"
    QUOTED_DROP2 = "quoted-printable-drop2"
    UU = "uu"
    XX = "xx"
    YENC = "yenc"
    BINHEX = "binhex"
