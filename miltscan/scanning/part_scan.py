"""Scans the parts of one message by themselves, and what is in archives among them, until something is infected.

It decides nothing about the message: the verdicts are those on the parts, and on what cannot be scanned. What it learns
about the structure is kept in `PartsKnown`, also where it is broken off.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from miltscan.core.attachments import Attachment
from miltscan.core.contained import Inner, Inside, look_inside
from miltscan.core.message import Message
from miltscan.core.nesting import Nesting
from miltscan.core.structure import ScannedPart, Structure
from miltscan.core.verdict import Limit, Outcome, Verdict
from miltscan.engines.base import Engine
from miltscan.scanning.digests import PartDigests
from miltscan.scanning.files import bytes_of, copy_part, forget_pages
from miltscan.scanning.rar import Asked, unopened_rar
from miltscan.scanning.spool import Spool
from miltscan.scanning.turns import turn
from miltscan.scanning.unpacking import Opening, Unpacking


@dataclass(slots=True)
class PartsKnown:
    """What is known of the parts of a message so far."""

    structure: Structure | None = None
    """None before the message is read."""
    unlocked: bool = False
    """Whether a word of it opened an archive in it."""
    archived: dict[str, tuple[Attachment, ...]] = field(default_factory=dict)
    """The files in archives that were opened, by the paths of these."""
    complete: bool = False
    """Whether all archives that can be opened were."""
    nesting: Nesting = field(default_factory=Nesting)

    def note_scan(self, part: ScannedPart) -> None:
        """A part was scanned."""
        if self.structure:
            self.structure = self.structure._replace(scans=(*self.structure.scans, part))

    def note_inside(self, inside: Inside) -> None:
        """A part was looked into."""
        if self.structure is None:
            return
        if inside.unlocked:
            self.structure = self.structure._replace(encrypted=True)
        if inside.anomalies or inside.limits or any(one.hidden for one in inside.inner):
            anomalies = tuple(sorted({*self.structure.anomalies, *inside.anomalies}))
            self.structure = self.structure._replace(plain=False, anomalies=anomalies)


class Item(NamedTuple):
    """Something to be scanned by itself, unless it is only to be looked into.

    It lies in `messages`, or in an archive: at this depth of archives, in the one with this digest. `server` is the
    server of the engine that saw it in what contains it.
    """

    inner: Inner
    server: str
    scanned: bool = True
    messages: int = 0
    depth: int = 0
    archive: bytes = b""


@dataclass(slots=True)
class PartScan:
    """One scan for one engine; at most `parts` are scanned by themselves, and `spool` makes room for one."""

    engine: Engine
    message: Message
    seen: PartsKnown
    opening: Opening
    spool: Callable[[], Spool]
    parts: int
    unpacking: Unpacking | None
    digests: PartDigests | None
    _known: set[bytes] = field(default_factory=set)
    _scanned: int = 0

    def verdicts(self, waiting: deque[Item]) -> Iterator[Verdict]:
        """The verdicts on what waits, and on what is within it."""
        while waiting:
            item = waiting.popleft()
            path = item.inner.path
            with closing(self.spool()) as spool:
                digest, fault = self._copied(item, spool)
                if fault:
                    yield self._unscanned(fault[0], f"part {path}: {fault[1]}")
                if digest in self._known or not spool.size:
                    continue
                if item.scanned and self._scanned >= self.parts:
                    yield self._unscanned(Limit.LIMITS, f"more than {self._scanned} parts (mime.parts)")
                    return
                self._scanned += item.scanned
                self._known.add(digest)
                inside = self._inside(path, digest, spool)
                yield from (self._unscanned(*limit) for limit in inside.limits)
                if item.scanned and time.monotonic() >= self.opening.deadline:
                    yield self._unscanned(Limit.TIMEOUT, "the parts of the message took too long")
                    return
                verdict, inner = self._scan(path, digest, spool, inside) if item.scanned else (None, inside.inner)
            if inner and item.depth >= self.opening.budget.bounds.depth:
                yield self._unscanned(Limit.LIMITS, f"part {path}: too deep")
                inner = ()
            # next, not last: until they are scanned, the archive that they are slices of stays in memory
            server = verdict.server if verdict else item.server
            within = [Item(one, server, one.hidden, depth=item.depth + 1, archive=digest) for one in inner]
            waiting.extendleft(reversed(within))
            if verdict:
                yield verdict
                if verdict.outcome is Outcome.INFECTED and not verdict.suspected:
                    return
            if inside.rar and not (verdict and verdict.failed):
                yield from self._unopened(path, server)
        self.seen.complete = True

    def _scan(self, path: str, digest: bytes, spool: Spool, inside: Inside) -> tuple[Verdict, tuple[Inner, ...]]:
        """The verdict on the part of this path and digest alone, and what is to be scanned within it."""
        verdict, inner = self._verdict(path, spool, inside), inside.inner
        if verdict.reason is Limit.ENCRYPTED and self.unpacking and 0 < len(inside.alone) <= self.parts - self._scanned:
            # an archive in this zip may be what is encrypted, and a word its password: each file tells by itself
            verdict, inner = Verdict.clean(self.engine.name, verdict.server), inside.alone
        if self.digests and verdict.outcome is Outcome.INFECTED:
            self.digests.detected[digest] = None
        return verdict, inner

    def _unopened(self, path: str, server: str) -> Iterator[Verdict]:
        """Why a rar that this server called clean is not scanned."""
        opening, asked = self.opening, Asked(self.engine, server)
        yield from unopened_rar(asked, path, self.message, self.spool, opening.deadline, tick=opening.tick)

    def _unscanned(self, limit: Limit, why: str) -> Verdict:
        return Verdict.unscanned(self.engine.name, limit, why)

    def _copied(self, item: Item, spool: Spool) -> tuple[bytes, tuple[Limit, str] | None]:
        """The digest of a part, which is in the spool then, and why it is not complete."""
        with turn(self.message.size, self.opening.tick):
            digest, fault = copy_part(item.inner.chunks(), spool, self.opening.budget)
        if spool.size:
            if item.archive:
                self.seen.nesting.place_within(item.archive, digest)
            else:
                self.seen.nesting.place(digest, item.messages)
        if self.digests and spool.size and not fault:
            self.digests.note(item.inner.path, digest)
        return digest, fault

    def _inside(self, path: str, digest: bytes, spool: Spool) -> Inside:
        """What is within the part of this path and digest."""
        opening = self.opening
        with turn(spool.size, opening.tick):
            content = bytes_of(spool, spool.size)
            inside = look_inside(path, content, opening.budget.bounds, opening.budget)
            forget_pages(content)
        if inside.holds:
            self.seen.nesting.place_within(digest)
        if inside.foreign:
            unpacking = self.unpacking
            inside = unpacking.opened(path, inside, spool.fileno(), opening) if unpacking else inside.unopened()
            self.seen.unlocked = self.seen.unlocked or inside.unlocked
            self.seen.archived[path] = inside.files
        self.seen.note_inside(inside)
        return inside

    def _verdict(self, path: str, spool: Spool, inside: Inside) -> Verdict:
        """The verdict on the part of this path alone."""
        size = spool.size
        part = self.message._replace(content=spool, size=size)
        verdict = self.engine.scan(part, self.opening.deadline, self.opening.tick)
        spool.recycle()
        if inside.unlocked and verdict.reason is Limit.ENCRYPTED:
            verdict = Verdict.clean(self.engine.name, verdict.server)  # what it could not see is scanned next
        if verdict.outcome is not Outcome.CLEAN:
            verdict = replace(verdict, part=path)
        self.seen.note_scan(ScannedPart(path, size, verdict))
        return verdict
