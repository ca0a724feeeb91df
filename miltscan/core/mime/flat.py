"""The structure of a message as no boundary has it: what a reader may find that believes none of them. Pure.

A part begins at a line Content-... that is in no header of `tree`, and ends at the next line with two hyphens in front,
or at the next such part. Encodings within a text begin at their own first line.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from miltscan.core.mime.closed import Anomaly, Decoding, ReaderLimit
from miltscan.core.mime.collected import Collected, Span, Within
from miltscan.core.mime.declared import TEXT, Declared, declare
from miltscan.core.mime.fields import HeaderFields, read_fields
from miltscan.core.mime.marked import Mark, Marked, find_marks
from miltscan.core.mime.tree import Tree

_ABOVE = 4096
"""Bytes in front of a line Content-... in which its header may begin."""
_HEADER = 1 << 14
"""Bytes of a header that no boundary shows; the bound of others would be met anew at each line Content-..."""
_INLINE = {
    Mark.UU: (Decoding.UU, Decoding.XX),
    Mark.BASE64: (Decoding.BASE64_LINES, Decoding.BASE64_PIECES),
    Mark.YENC: (Decoding.YENC,),
    Mark.BINHEX: (Decoding.BINHEX,),
}
_NOTHING = declare(HeaderFields((), (), (), (), (), 0, strict=True, lines=0, usual=True, whole=True), b"")._replace(
    types=()
)


class Hidden(NamedTuple):
    """A header that no boundary shows."""

    start: int
    stop: int
    """Where its last line ends."""
    body: int
    end: int
    """The end of the region in which it is."""
    declared: Declared


def read_flat(tree: Tree, collected: Collected, within: Within) -> None:
    """Keep what `tree` did not find."""
    headers: list[Hidden] = []
    encodings: list[tuple[Marked, int]] = []
    for start, end in _regions(tree.known, len(tree.octets.view)):
        for found in find_marks(tree.octets, start, end):
            collected.step()
            if len(headers) + len(encodings) > collected.bounds.parts:
                collected.exceed(ReaderLimit.PARTS)
                break
            if found.mark is Mark.RETURN:
                collected.odd()
            elif found.mark is not Mark.HEADER:
                encodings.append((found, end))
            elif not headers or found.at >= headers[-1].stop:
                headers.append(_hidden(tree, found.at, headers[-1].stop if headers else start, end))
    if headers:
        _keep_parts(tree, collected, headers, within)
    if encodings:
        _keep_encodings(tree, collected, encodings, within)


def _regions(known: list[tuple[int, int]], end: int) -> Iterator[tuple[int, int]]:
    """What lies between the headers and the clean bodies."""
    at = 0
    for start, stop in sorted(known):
        if start > at:
            yield at, start
        at = max(at, stop)
    if at < end:
        yield at, end


def _hidden(tree: Tree, at: int, floor: int, end: int) -> Hidden:
    """The header around a line Content-...: it begins behind an empty line, or one with a hyphen in front."""
    first = max(floor, at - _ABOVE)
    above = b"\n" + tree.octets.piece(first, at)
    hyphen = above.rfind(b"\n-")
    ends = [above.rfind(ending) + len(ending) for ending in (b"\n\n", b"\n\r\n") if ending in above]
    ends += [above.find(b"\n", hyphen + 1) + 1] if hyphen >= 0 else []
    start = first + max(ends, default=1) - 1
    hyphens = tree.octets.find(b"\n--", at, min(end, at + _HEADER))
    header = read_fields(tree.octets, start, hyphens + 1 if hyphens >= 0 else end, _HEADER)
    declared = tree.declared(header, TEXT)
    return Hidden(start, max(at + 1, header.end), header.bodies[0], end, declared)


def _keep_parts(tree: Tree, collected: Collected, headers: list[Hidden], within: Within) -> None:
    collected.odd([Anomaly.HIDDEN_PART])
    starts = [hidden.start for hidden in headers]
    if any(bisect_left(starts, start) < bisect_left(starts, end) for start, end in tree.unbounded):
        collected.odd([Anomaly.HIDDEN_ATTACHMENTS])
    for number, hidden in enumerate(headers, 1):
        following = headers[number].start if number < len(headers) else hidden.end
        long = max(hidden.body, min(following, hidden.end))
        hyphens = tree.octets.find(b"\n--", hidden.body - 1, long)
        short = long if hyphens < 0 else max(hidden.body, hyphens - (tree.octets.view[hyphens - 1] == ord("\r")))
        for end in dict.fromkeys((short, long)):
            tree.leaf(Span(hidden.body, end, f"flat:{number}", within.depth, within.messages), hidden.declared)


def _keep_encodings(tree: Tree, collected: Collected, encodings: list[tuple[Marked, int]], within: Within) -> None:
    for number, (found, region) in enumerate(encodings, 1):
        collected.odd([Anomaly.INLINE_ENCODED])
        end = min(region, encodings[number][0].at) if number < len(encodings) else region
        span = Span(found.at, end, f"{tree.prefix}{found.mark}:{number}", within.depth, within.messages)
        for decoding in _INLINE[found.mark]:
            collected.add(tree.octets, span, decoding, _NOTHING)
