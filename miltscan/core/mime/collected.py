"""What has been found so far, and how much of the bounds is left: all that changes while a message is read. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from miltscan.core.anomalies import CmsAnomaly
from miltscan.core.containers.budget import ContainerBounds, ContainerLimit
from miltscan.core.mime.closed import Anomaly, Decoding, ReaderLimit
from miltscan.core.mime.cms import Cms, read_cms
from miltscan.core.mime.declared import Declared
from miltscan.core.mime.octets import Octets
from miltscan.core.mime.part import MIB, Bounds, Part, Reading
from miltscan.core.mime.transfer import GROWTH


class Stopped(Exception):  # noqa: N818  no error: the reader returns what it has
    """A bound ends the reading."""


class Span(NamedTuple):
    """Where something is: its offsets, its path, and how many messages and multiparts it is in.

    `messages` are the messages alone, that which was received excepted; `outer` the boundaries of the multiparts.
    """

    start: int
    end: int
    path: str
    depth: int
    messages: int = 0
    outer: tuple[bytes, ...] = ()


class Within(NamedTuple):
    """A decoded part that is read in its turn."""

    octets: Octets
    path: str
    depth: int
    message: bool
    """Whether it begins with a header; otherwise parts are looked for in it that no boundary shows."""
    guessed: bool = False
    """Whether its encoding was a guess; then no other one within it is: guesses about guesses would have no end."""
    messages: int = 0
    """As in `Span`."""


class Collected:
    """The parts and anomalies of one message. Each part is kept once, whatever the number of readings that show it."""

    def __init__(self, octets: Octets, bounds: Bounds) -> None:
        """`octets` is the message."""
        self.bounds = bounds
        self.waiting = [Within(octets, "", 0, message=True)]
        self._parts: dict[tuple[Octets, int, int, Decoding], Part] = {}
        self._seen = {b""}
        """What was decoded and read: two decodings often give the same."""
        self._anomalies: set[Anomaly | CmsAnomaly] = set()
        self._limit: ReaderLimit | None = None
        self._odd = self._encrypted = False
        self._output = self._memory = 0
        self._deadline = bounds.clock() + bounds.seconds + bounds.seconds_per_mb * len(octets.view) / MIB

    def step(self) -> None:
        """Stop when the time is over; every loop over the message calls it, and nothing between two calls is long."""
        if self.bounds.clock() > self._deadline:
            self.stop(ReaderLimit.SECONDS)

    def timed(self, chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        """The chunks, with a step before each."""
        for chunk in chunks:
            self.step()
            yield chunk

    def stop(self, limit: ReaderLimit) -> None:
        """End the reading at a bound."""
        self.exceed(limit)
        raise Stopped

    def exceed(self, limit: ReaderLimit) -> None:
        """Something is not read because of this bound."""
        self._limit = self._limit or limit

    def odd(self, anomalies: Iterable[Anomaly] = ()) -> None:
        """Readers may disagree about the message; it has these anomalies."""
        self._odd = True
        self._anomalies.update(anomalies)

    def add(self, octets: Octets, span: Span, decoding: Decoding, declared: Declared) -> None:
        """Keep a part, or what another reading declares about one that is kept."""
        start, end, path, _, messages, _ = span
        key = octets, start, end, decoding
        known = self._parts.get(key)
        if known:
            types = dict.fromkeys(known.types + declared.types)
            names = dict.fromkeys(known.names + declared.names)
            self._parts[key] = known._replace(
                types=tuple(types), names=tuple(names), messages=max(known.messages, messages)
            )
            return
        if decoding is Decoding.BINHEX and end - start > self.bounds.memory:
            self.exceed(ReaderLimit.MEMORY)  # its decoder holds the whole file
            return
        self._output += (end - start) * GROWTH.get(decoding, 1)
        if self._output > self.bounds.output:
            self.stop(ReaderLimit.OUTPUT)
        if len(self._parts) >= self.bounds.parts:
            self.stop(ReaderLimit.PARTS)
        self._parts[key] = Part(path, octets.view[start:end], decoding, declared.types, declared.names, messages)

    def read_within(
        self, chunks: Iterable[bytes | memoryview], span: Span, *, message: bool, guessed: bool = False
    ) -> None:
        """Decode the part at `span` and keep the result, to be read in its turn."""
        self._keep(chunks, span._replace(messages=span.messages + message), message=message, guessed=guessed)

    def _keep(self, chunks: Iterable[bytes | memoryview], span: Span, *, message: bool, guessed: bool) -> None:
        depth = span.depth + 1
        content = self._held(chunks, depth)
        if content not in self._seen:
            self._seen.add(content)
            self.waiting.append(Within(Octets(content), f"{span.path}/", depth, message, guessed, span.messages))

    def read_signed(self, chunks: Iterable[bytes | memoryview], span: Span) -> None:
        """Decode opaque S/MIME and keep what is signed, to be read in its turn as the message that it is a part of."""
        bounds = self.bounds
        cms = read_cms(
            self._held(chunks, span.depth + 1),
            ContainerBounds(output=bounds.memory, depth=bounds.depth, deadline=self._deadline, clock=bounds.clock),
        )
        self._anomalies.update(cms.anomalies)
        self._encrypted = self._encrypted or cms.kind.encrypted
        if cms.exceeded:
            self.exceed(ReaderLimit.SIGNED)
        self._keep(self._signed(cms), span, message=True, guessed=False)

    def _signed(self, cms: Cms) -> Iterator[bytes | memoryview]:
        """The content of a signed message, without the faults at its end, which are noted."""
        for piece in cms.chunks():
            if isinstance(piece, CmsAnomaly):
                self._anomalies.add(piece)
            elif isinstance(piece, ContainerLimit):
                self.exceed(ReaderLimit.SIGNED)
            else:
                yield piece

    def _held(self, chunks: Iterable[bytes | memoryview], depth: int) -> bytes:
        """The chunks as one, within the bounds; empty beyond them."""
        if depth > self.bounds.depth:
            self.exceed(ReaderLimit.DEPTH)
            return b""
        held: list[bytes | memoryview] = []
        for chunk in self.timed(chunks):
            self._memory += len(chunk)
            if self._memory > self.bounds.memory:
                self.exceed(ReaderLimit.MEMORY)
                return b""
            held.append(chunk)
        return b"".join(held)

    def reading(self) -> Reading:
        """What was found."""
        plain = not (self._odd or self._limit)
        return Reading(tuple(self._parts.values()), frozenset(self._anomalies), self._limit, plain, self._encrypted)
