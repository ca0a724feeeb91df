"""Reads a message as every mail reader may: the union of its parts in all readings. Pure, never raises, linear.

Two readers look at the same bytes: `tree` follows the boundaries, `flat` believes none. A part that is encoded is
looked into if it is a message, or a text in which other encodings begin. What is not known is odd: `Reading.plain` is
true only for a message of known types and encodings about which all readers agree.
"""

from miltscan.core.mime.closed import Decoding
from miltscan.core.mime.collected import Collected, Span, Stopped
from miltscan.core.mime.declared import TEXT, declare
from miltscan.core.mime.fields import read_fields
from miltscan.core.mime.flat import read_flat
from miltscan.core.mime.marked import find_marks
from miltscan.core.mime.octets import PIECE, Octets
from miltscan.core.mime.part import Bounds, Part, Reading
from miltscan.core.mime.tree import Tree


def read_message(data: bytes | memoryview, bounds: Bounds) -> Reading:
    """Every part of a message, header and body, with what is odd about it.

    The parts are slices of `data`, or of what was decoded within the bounds: `data` has to stay as it is while they are
    in use. A `memoryview` may be one of an mmap.
    """
    octets = Octets(data)
    if simple := short_text(octets, bounds):
        return simple
    collected = Collected(octets, bounds)
    try:
        while collected.waiting:
            within = collected.waiting.pop(0)
            tree = Tree(within, collected)
            if within.message:
                tree.message(Span(0, len(within.octets.view), "", within.depth, within.messages))
            read_flat(tree, collected, within)
    except Stopped:
        pass
    return collected.reading()


def short_text(octets: Octets, bounds: Bounds) -> Reading | None:
    """The reading of a short message that is one text as it stands; None for all others.

    Both readers would return the same, by many more steps (docs/lab/cost.md).
    """
    end = len(octets.view)
    if end > min(PIECE, bounds.output, bounds.header) or octets.find(b"multipart/", 0, end) >= 0:
        return None
    header = read_fields(octets, 0, end, end)
    declared = declare(header, TEXT)
    if not (declared.simple and header.usual and len(header.bodies) == 1 and header.lines <= bounds.fields):
        return None
    (body,) = header.bodies
    if next(find_marks(octets, body, end), None):
        return None
    part = Part("0", octets.view[body:end], Decoding.IDENTITY, declared.types, declared.names)
    return Reading((part,), frozenset(), None, plain=True, encrypted=False)
