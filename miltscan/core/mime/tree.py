"""The structure of a message as its boundaries have it: headers, multiparts, messages, leaves. Pure.

Every multipart is walked alike, by each boundary that its header may mean and that occurs in it. What this finds is the
message as the standard has it; `flat` finds what it does not see.
"""

from collections.abc import Iterator
from typing import NamedTuple

from miltscan.core.mime.closed import Anomaly, Decoding, ReaderLimit
from miltscan.core.mime.collected import Collected, Within
from miltscan.core.mime.declared import MESSAGE, TEXT, Declared, declare
from miltscan.core.mime.fields import HeaderFields, read_fields
from miltscan.core.mime.marked import looks_like_message, marked
from miltscan.core.mime.transfer import TransferEncoding, decode_chunks, decodings

_HEADERS = b"text/rfc822-headers"
_HEAD = 4096
"""Encoded bytes that are decoded to see whether a part that is no text is a message."""
_SUFFIX = 128
"""Bytes behind a boundary that are looked at."""
_TRIES = 4
"""How many boundaries are looked for, for each that may occur."""
_FEWEST = 2


class Delimiter(NamedTuple):
    """A line that begins with two hyphens and the boundary."""

    before: int
    """The end of what stands before it: the line end in front belongs to the delimiter (RFC 2046, section 5.1.1)."""
    after: int
    exact: bool
    closing: bool


class Span(NamedTuple):
    """Where something is: its offsets, its path, and how many messages and multiparts it is in."""

    start: int
    end: int
    path: str
    depth: int


class Tree:
    """The walk over one message, or over what one part decodes to."""

    def __init__(self, within: Within, collected: Collected) -> None:
        """What is found goes to `collected`."""
        self.octets = within.octets
        self.prefix = within.path
        self.known: list[tuple[int, int]] = []
        """Headers, and bodies that are clean base64: no other part begins there."""
        self.unbounded: list[tuple[int, int]] = []
        """Multiparts without a delimiter."""
        self._collected = collected
        self._bounds = collected.bounds

    def entity(self, span: Span, default: bytes = TEXT) -> None:
        """Walk a header and its body; `default` is the type of a header that names none."""
        self._collected.step()
        if span.depth > self._bounds.depth:
            self._collected.exceed(ReaderLimit.DEPTH)
            return
        header, declared = self.header(span.start, span.end, default)
        self._know(span.start, min(header.bodies))
        for body in header.bodies:
            self._content(span._replace(start=body), declared)

    def header(self, start: int, end: int, default: bytes) -> tuple[HeaderFields, Declared]:
        """The header that begins at `start`, and what it declares."""
        header = read_fields(self.octets, start, end, self._bounds.header)
        if not header.whole:
            self._collected.exceed(ReaderLimit.HEADER)
        if header.lines > self._bounds.fields:
            self._collected.exceed(ReaderLimit.FIELDS)
        declared = declare(header, default)
        if not declared.known:
            self._collected.odd(declared.anomalies)
        return header, declared

    def _content(self, span: Span, declared: Declared) -> None:
        split = bool(declared.boundaries) and self._multipart(span, declared)
        if declared.multipart and not split:
            self._collected.odd([Anomaly.BOUNDARY_ABSENT])
            self.unbounded.append((span.start, span.end))
        if declared.message:
            self.entity(Span(span.start, span.end, f"{span.path}.1", span.depth + 1))
        if (declared.multipart or declared.message) and declared.encoded:
            self._collected.odd([Anomaly.ENCODING_ON_MULTIPART])
        if declared.encoded or not (split or declared.message):
            self.leaf(span, declared)

    def _multipart(self, span: Span, declared: Declared) -> bool:
        """Walk the parts of a multipart by each boundary that occurs; whether one does."""
        candidates = declared.boundaries[: self._bounds.candidates * _TRIES]
        found = [one for one in candidates if self._next(one, max(0, span.start - 1), span.end) >= 0]
        if len(candidates) < len(declared.boundaries) or len(found) > self._bounds.candidates:
            self._collected.exceed(ReaderLimit.CANDIDATES)
        if len(found) > 1:
            self._collected.odd([Anomaly.BOUNDARY_TWICE])
        if found and not declared.multipart:
            self._collected.odd([Anomaly.TYPE_BROKEN])
        default = MESSAGE if b"multipart/digest" in declared.types else TEXT
        for boundary in found[: self._bounds.candidates]:
            delimiters = list(self._delimiters(boundary, span))
            exact = [one for one in delimiters if one.exact]
            self._judge(delimiters, exact)
            self._parts(exact, span, default)
            if len(exact) < len(delimiters):
                self._parts(delimiters, span, default)
        return bool(found)

    def _judge(self, delimiters: list[Delimiter], exact: list[Delimiter]) -> None:
        """Note what is odd about the delimiters of one boundary."""
        closing = [one for one in exact if one.closing]
        if not closing:
            self._collected.odd([Anomaly.MULTIPART_UNCLOSED])
        if len(exact) < len(delimiters) or (closing and closing[0] is not exact[-1]):
            self._collected.odd([Anomaly.DELIMITER_BROKEN])

    def _parts(self, delimiters: list[Delimiter], span: Span, default: bytes) -> None:
        """Walk what stands between delimiters, also behind a closing one if more of them follow."""
        ends = [*(one.before for one in delimiters[1:]), span.end]
        for number, (delimiter, end) in enumerate(zip(delimiters, ends, strict=False), 1):
            if delimiter.closing and number == len(delimiters):
                return
            path = f"{span.path}.{number}" if span.path else str(number)
            self.entity(Span(delimiter.after, max(delimiter.after, end), path, span.depth + 1), default)

    def _next(self, boundary: bytes, start: int, end: int) -> int:
        self._collected.step()
        return self.octets.find(b"\n--" + boundary, start, end)

    def _delimiters(self, boundary: bytes, span: Span) -> Iterator[Delimiter]:
        """The lines that begin with the boundary."""
        at = self._next(boundary, max(0, span.start - 1), span.end)
        count = 0
        while at >= 0:
            count += 1
            if count > self._bounds.parts:
                self._collected.stop(ReaderLimit.PARTS)
            behind = at + len(boundary) + 3
            line = self.octets.find(b"\n", behind, span.end)
            after = line + 1 if line >= 0 else span.end
            suffix = self.octets.piece(behind, min(after, behind + _SUFFIX))
            before = at - (at > span.start and self.octets.view[at - 1] == ord("\r"))
            text = suffix.strip(b" \t\r\n")
            exact = text in (b"", b"--") and after - behind <= _SUFFIX
            yield Delimiter(max(before, span.start), after, exact, text[:2] == b"--")
            at = self._next(boundary, max(behind, after - 1), span.end)

    def leaf(self, span: Span, declared: Declared) -> None:
        """Keep a body in every decoding that it may need, and look for messages and parts within those."""
        self._collected.step()
        view = self.octets.view[span.start : span.end]
        body = decodings(view, declared.transfers, text=declared.text)
        if not body.clean:
            self._collected.odd(body.anomalies)
        elif declared.encoded and body.decodings == (Decoding.BASE64,):
            self._know(span.start, span.end)
        path = self.prefix + (span.path or "0")
        for decoding in body.decodings:
            self._collected.add(self.octets, (span.start, span.end), path, decoding, declared)
            if decoding is not Decoding.IDENTITY:
                self._look_within(view, decoding, Span(span.start, span.end, path, span.depth), declared)
        if _HEADERS in declared.types and TransferEncoding.IDENTITY in declared.transfers:
            self._know(span.start, min(self.header(span.start, span.end, TEXT)[0].bodies))

    def _know(self, start: int, end: int) -> None:
        if start < end:
            self.known.append((start, end))

    def _look_within(self, view: memoryview, decoding: Decoding, span: Span, declared: Declared) -> None:
        """Read what a body decodes to if it is a message, or a text in which other encodings begin."""
        first = view[:_HEAD]
        head = b"".join(bytes(chunk) for chunk in decode_chunks(first, decoding))
        if len(declared.transfers) > 1 and head == first:
            return  # a guess that changes nothing: these bytes are read as they are
        structured = declared.multipart or declared.message
        if looks_like_message(head) or (
            (structured or declared.text) and marked(decode_chunks(view, decoding), headers=structured)
        ):
            self._collected.odd()
            self._collected.read_within(decode_chunks(view, decoding), span.path, span.depth + 1)
