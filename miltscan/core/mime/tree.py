"""The structure of a message as its boundaries have it: headers, multiparts, messages, leaves. Pure.

Every multipart is walked alike, by each boundary that its header may mean and that occurs in it. What this finds is the
message as the standard has it; `flat` finds what it does not see.
"""

from collections.abc import Iterator
from typing import NamedTuple

from miltscan.core.mime.closed import Anomaly, Decoding, ReaderLimit
from miltscan.core.mime.collected import Collected, Span, Within
from miltscan.core.mime.declared import MESSAGE, TEXT, Declared, declare
from miltscan.core.mime.fields import HeaderFields, read_fields
from miltscan.core.mime.marked import looks_like_message, marked
from miltscan.core.mime.transfer import decode_chunks, decodings

_HEAD = 4096
"""Encoded bytes that are decoded to see whether a part that is no text is a message."""
_SUFFIX = 128
"""Bytes behind a boundary that are looked at."""
_TRIES = 4
"""How many boundaries are looked for, for each that may occur."""
_LIKELIEST = frozenset({Decoding.BASE64, Decoding.QUOTED, Decoding.UU, Decoding.XX, Decoding.YENC, Decoding.BINHEX})
"""The first decoding of each encoding: where the encoding is a guess, no other one is looked into."""


class Delimiter(NamedTuple):
    """A line that begins with two hyphens and the boundary."""

    before: int
    """The end of what stands before it: the line end in front belongs to the delimiter (RFC 2046, section 5.1.1)."""
    after: int
    exact: bool
    bare: bool
    """Whether there is nothing behind the boundary; blanks are allowed there, but not all scanners know it."""
    closing: bool


class Tree:
    """The walk over one message, or over what one part decodes to."""

    def __init__(self, within: Within, collected: Collected) -> None:
        """What is found goes to `collected`."""
        self.octets = within.octets
        self.prefix = within.path
        self._guessed = within.guessed
        self.known: list[tuple[int, int]] = []
        """Headers, and bodies that are clean base64: no other part begins there."""
        self.unbounded: list[tuple[int, int]] = []
        """Multiparts without a delimiter."""
        self._walked = set[tuple[int, int]]()
        """Entities by their offsets: several readings may show one."""
        self._collected = collected
        self._bounds = collected.bounds

    def message(self, span: Span) -> None:
        """Walk a message. Its header has to name the version of MIME, or scanners may take its body for a text."""
        declared = self.entity(span)
        if declared and not declared.version and (declared.multipart or declared.message or declared.encoded):
            self._collected.odd()

    def entity(self, span: Span, default: bytes = TEXT) -> Declared | None:
        """Walk a header and its body, and return what it declares; `default` is the type of one that names none."""
        self._collected.step()
        if (span.start, span.end) in self._walked:
            return None
        self._walked.add((span.start, span.end))
        if span.depth > self._bounds.depth:
            self._collected.exceed(ReaderLimit.DEPTH)
            return None
        header = read_fields(self.octets, span.start, span.end, self._bounds.header)
        if not header.whole:
            self._collected.exceed(ReaderLimit.HEADER)
        if header.lines > self._bounds.fields:
            self._collected.exceed(ReaderLimit.FIELDS)
        declared = self.declared(header, default)
        self._know(span.start, min(header.bodies))
        for body in header.bodies:
            self._content(span._replace(start=body), declared)
        return declared

    def declared(self, header: HeaderFields, default: bytes) -> Declared:
        """What a header declares."""
        declared = declare(header, default)
        if not (declared.known and header.usual):
            self._collected.odd(declared.anomalies)
        return declared

    def _content(self, span: Span, declared: Declared) -> None:
        split = bool(declared.boundaries) and self._multipart(span, declared)
        if declared.multipart and not split and span.start < span.end:
            self._collected.odd([Anomaly.BOUNDARY_ABSENT])
            self.unbounded.append((span.start, span.end))
        within = (declared.message or declared.headers) and (not declared.encoded or self._begins_message(span))
        if within:
            path, messages = f"{span.path or 0}.1", span.messages + declared.message
            self.message(span._replace(path=path, depth=span.depth + 1, messages=messages))
        if (declared.multipart or declared.message) and declared.encoded:
            self._collected.odd([Anomaly.ENCODING_ON_MULTIPART])
        if declared.encoded or not (split or within):
            self.leaf(span, declared)

    def _begins_message(self, span: Span) -> bool:
        head = self.octets.piece(span.start, min(span.end, span.start + _HEAD))
        return looks_like_message(head, cut=span.end > span.start + _HEAD)

    def _multipart(self, span: Span, declared: Declared) -> bool:
        """Walk the parts of a multipart by each boundary that occurs; whether one does."""
        candidates = declared.boundaries[: self._bounds.candidates * _TRIES]
        found = [one for one in candidates if self._next(one, max(0, span.start - 1), span.end) >= 0]
        if len(candidates) < len(declared.boundaries) or len(found) > self._bounds.candidates:
            self._collected.exceed(ReaderLimit.CANDIDATES)
        default = MESSAGE if b"multipart/digest" in declared.types else TEXT
        used = 0
        for boundary in found[: self._bounds.candidates]:
            delimiters = list(self._delimiters(boundary, span))
            exact = [one for one in delimiters if one.exact]
            if not exact and len(found) > 1:
                continue  # the beginning of another candidate
            used += 1
            self._judge(delimiters, exact)
            self._judge_preamble(span.start, delimiters[0].before)
            if any(boundary.startswith(one) or one.startswith(boundary) for one in span.outer):
                self._collected.odd()  # scanners may take a delimiter of one for the other's
            inner = span._replace(outer=(*span.outer, boundary))
            self._parts(exact, inner, default)
            if len(exact) < len(delimiters):
                self._parts(delimiters, inner, default)
        if used > 1:
            self._collected.odd([Anomaly.BOUNDARY_TWICE])
        return bool(found)

    def _judge(self, delimiters: list[Delimiter], exact: list[Delimiter]) -> None:
        """Note what is odd about the delimiters of one boundary."""
        if not all(one.bare for one in exact):
            self._collected.odd()
        closing = [one for one in exact if one.closing]
        if not closing:
            self._collected.odd([Anomaly.MULTIPART_UNCLOSED])
        if len(exact) < len(delimiters) or (closing and closing[0] is not exact[-1]):
            self._collected.odd([Anomaly.DELIMITER_BROKEN])

    def _judge_preamble(self, start: int, end: int) -> None:
        """Note a preamble in which scanners may see a field."""
        if b":" in self.octets.piece(start, min(end, start + _HEAD)):
            self._collected.odd()

    def _parts(self, delimiters: list[Delimiter], span: Span, default: bytes) -> None:
        """Walk what stands between delimiters, also behind a closing one if more of them follow."""
        ends = [*(one.before for one in delimiters[1:]), span.end]
        for number, (delimiter, end) in enumerate(zip(delimiters, ends, strict=False), 1):
            if delimiter.closing and number == len(delimiters):
                return
            path = f"{span.path}.{number}" if span.path else str(number)
            part = span._replace(start=delimiter.after, end=max(delimiter.after, end), path=path)
            self.entity(part._replace(depth=span.depth + 1), default)

    def _next(self, boundary: bytes, start: int, end: int) -> int:
        self._collected.step()
        return self.octets.find(b"\n--" + boundary, start, end)

    def _delimiters(self, boundary: bytes, span: Span) -> Iterator[Delimiter]:
        """The lines that begin with the boundary."""
        at = self._next(boundary, max(0, span.start - 1), span.end)
        count = 0
        while at >= 0:
            count += 1
            if count > self._bounds.parts + 1:
                self._collected.stop(ReaderLimit.PARTS)
            behind = at + len(boundary) + 3
            line = self.octets.find(b"\n", behind, span.end)
            after = line + 1 if line >= 0 else span.end
            suffix = self.octets.piece(behind, min(after, behind + _SUFFIX))
            before = at - (at > span.start and self.octets.view[at - 1] == ord("\r"))
            text = suffix.strip(b" \t\r\n")
            exact = text in (b"", b"--") and after - behind <= _SUFFIX
            bare = suffix.rstrip(b"\r\n") == text
            yield Delimiter(max(before, span.start), after, exact, bare, text[:2] == b"--")
            at = self._next(boundary, max(behind, after - 1), span.end)

    def leaf(self, span: Span, declared: Declared) -> None:
        """Keep a body in every decoding that it may need, and look for messages and parts within those."""
        self._collected.step()
        view = self.octets.view[span.start : span.end]
        body = decodings(view, declared.transfers, text=declared.text)
        if not body.clean:
            text = declared.text and not declared.names
            self._collected.odd(one for one in body.anomalies if not (text and one is Anomaly.PADDING_BROKEN))
        elif declared.encoded and body.decodings == (Decoding.BASE64,):
            self._know(span.start, span.end)
        found = Span(span.start, span.end, self.prefix + (span.path or "0"), span.depth, span.messages)
        for decoding in body.decodings:
            self._collected.add(self.octets, found, decoding, declared)
            if declared.cms:
                self._collected.odd()
                self._collected.read_signed(decode_chunks(view, decoding), found)
            elif decoding is not Decoding.IDENTITY:
                self._look_within(view, decoding, found, declared)

    def _know(self, start: int, end: int) -> None:
        if start < end:
            self.known.append((start, end))

    def _look_within(self, view: memoryview, decoding: Decoding, span: Span, declared: Declared) -> None:
        """Read what a body decodes to if it is a message, or a text in which other encodings begin."""
        first = view[:_HEAD]
        head = b"".join(bytes(chunk) for chunk in decode_chunks(first, decoding))
        guess = len(declared.transfers) > 1
        if guess and (self._guessed or decoding not in _LIKELIEST or head == first):
            return
        structured = declared.multipart or declared.message
        message = looks_like_message(head, cut=len(first) < len(view))
        if message or (
            (structured or declared.text)
            and marked(self._collected.timed(decode_chunks(view, decoding)), headers=structured)
        ):
            self._collected.odd()
            self._collected.read_within(decode_chunks(view, decoding), span, message=message, guessed=guess)
