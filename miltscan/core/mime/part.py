"""What the reader returns: the parts of a message, what is odd about it, and the bounds of the reader. Pure."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from miltscan.core.anomalies import CmsAnomaly
from miltscan.core.mime.closed import MALFORMED, Anomaly, Decoding, ReaderLimit
from miltscan.core.mime.parameters import Name
from miltscan.core.mime.transfer import decode_chunks

MIB = 1 << 20


class Bounds(NamedTuple):
    """How much of a message is read. Where it exceeds a bound, `Reading.limit` names the first one."""

    clock: Callable[[], float]
    """CPU seconds of the calling thread, such as `time.thread_time`; the core has no clock."""
    seconds: float = 1.0
    """CPU seconds of the reader, to which `seconds_per_mb` is added for each MiB of the message."""
    seconds_per_mb: float = 0.06
    depth: int = 20
    """Messages and multiparts within each other."""
    parts: int = 10_000
    fields: int = 2_000
    """Lines of one header."""
    header: int = 256 << 10
    """Bytes of one header."""
    candidates: int = 8
    """Boundaries of one multipart that occur in it."""
    output: int = 400 * MIB
    """Bytes of all parts, decoded."""
    memory: int = 32 * MIB
    """Bytes that are decoded and kept because there are parts within; all others are decoded when asked for."""


class Part(NamedTuple):
    """One reading of one leaf of the message."""

    path: str
    """Where it is: `2.1` is the first part of the second one. What follows a slash is within the decoded part."""
    raw: memoryview
    """Its bytes in the message, or in a decoded part of it; never a copy."""
    decoding: Decoding
    types: tuple[bytes, ...]
    """The media types that it declares, in lower case; more than one if readers disagree. Hostile: of any bytes."""
    names: tuple[Name, ...]
    """Its file names as the fields have them."""
    messages: int = 0
    """How many messages it lies in, that which was received excepted."""

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The content in pieces of a few MiB at most, decoded anew each time; `raw` itself if it is not encoded."""
        return decode_chunks(self.raw, self.decoding)

    @property
    def data(self) -> bytes | memoryview:
        """The whole content; of a large part rather take `chunks`."""
        return self.raw if self.decoding is Decoding.IDENTITY else b"".join(self.chunks())


class Reading(NamedTuple):
    """The union of all readings of a message."""

    parts: tuple[Part, ...]
    anomalies: frozenset[Anomaly | CmsAnomaly]
    limit: ReaderLimit | None
    """The first bound that the message exceeds; None if all of it was read."""
    plain: bool
    """Whether all readers agree, so that a scanner of raw mail sees what they see: nothing unknown, nothing odd."""
    encrypted: bool
    """Whether it holds S/MIME that only its recipient can read."""

    @property
    def malformed(self) -> bool:
        """Whether a mail reader may show an attachment that no reading is sure to have decoded."""
        return not MALFORMED.isdisjoint(self.anomalies)
