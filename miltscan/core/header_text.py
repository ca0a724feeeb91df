"""The text of a header field for a person: unfolded, decoded (RFC 2047), bounded and readable. Never raises."""

import re
from collections.abc import Sequence
from email.errors import MessageError
from email.header import decode_header

from miltscan.core.edits import Header
from miltscan.core.text import readable

LONGEST = 200  # characters of the text that is shown
_RAW = 2000  # bytes of the field that are looked at: decoding is not linear
_BLANKS = re.compile(r"[ \t\r\n]+")


_SUBJECT = re.compile(rb"^subject[ \t]*:(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)


def header_text(headers: Sequence[Header], name: bytes) -> str:
    """The text of the first field of this name (in lower case); empty if there is none."""
    text = _text_of(next((value for field, value in headers if field.lower() == name), b""))
    return readable(readable(text, LONGEST), LONGEST)  # an escape is longer than its character


def subject_of(message: bytes) -> str:
    """The text of the first Subject of a message, of which this is the begin; hostile, unlike that for a person."""
    head = message.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    found = _SUBJECT.search(head)
    return _text_of(found[1]) if found else ""


def _text_of(value: bytes) -> str:
    text = _BLANKS.sub(" ", value[:_RAW].decode("utf-8", "backslashreplace"))  # first: decoding would drop a fold
    return _BLANKS.sub(" ", _decoded(text)).strip()


def _decoded(text: str) -> str:
    """The text with its encoded words decoded; as it is where they are broken."""
    if "=?" not in text:
        return text
    try:
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii", "replace")
            for part, charset in decode_header(text)
        )
    except (MessageError, ValueError, LookupError):  # bad base64, an unknown charset
        return text
