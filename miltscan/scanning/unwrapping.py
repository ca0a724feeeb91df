"""Has the parts of a message scanned by themselves where mail programs may read it in another way than an engine does.

The reader (`core.mime`) decides what the parts are; an engine knows nothing of them. A detection in any part is one of
the message, and what cannot be read, or exceeds a bound, is not clean: docs/detection.md.
"""

import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from miltscan.core.anomalies import AttachmentAnomaly
from miltscan.core.attachments import Attachment
from miltscan.core.contained import Inner, Inside, is_encrypted, look_inside, may_contain
from miltscan.core.containers.budget import Budget, ContainerBounds
from miltscan.core.message import PREFACE, Message
from miltscan.core.mime.part import MIB, Bounds, Reading
from miltscan.core.mime.reader import read_message
from miltscan.core.structure import ScannedPart, Structure
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, combined, severity
from miltscan.engines.base import Engine, Tick
from miltscan.errors import MtaGoneError, SpoolError
from miltscan.scanning.defects import ReaderDefects
from miltscan.scanning.digests import PartDigests
from miltscan.scanning.files import MOST_FILES, MessageFiles, bytes_of, copy_part, forget_pages, is_text
from miltscan.scanning.rar import unopened_rar
from miltscan.scanning.spool import Spool
from miltscan.scanning.turns import ticking_clock, turn
from miltscan.scanning.unpacking import Opening, Passwords, Unpacking, words_of

_LOOKING = 30.0  # seconds to open the archives of a message that no engine was asked about
_SECONDS, _SECONDS_PER_MIB = 2.0, 0.06  # of CPU time to look into the parts of one message
_AS_A_WHOLE = "only scanned as a whole: its structure could not be read"
_UNREAD = Structure(plain=False, sampled=False, anomalies=(), seconds=0.0)


@dataclass(frozen=True, slots=True)
class Unwrapping:
    """How the messages of one configuration are unwrapped; `parts`, `file` and `sample` as in `MimeSettings`.

    A part above `memory` bytes is kept in `directory`, as a message is. `attachments` are looked at for rules.
    `unpacking` opens archives that engines do not, with at most `passwords` words of the message. With `digests` the
    parts are hashed for the archive.
    """

    directory: Path
    memory: int
    parts: int
    file: int
    sample: int
    attachments: bool = False
    unpacking: Unpacking | None = None
    passwords: int = 0
    digests: bool = False

    def of(self, message: Message) -> "Unwrapped":
        """The message, to be scanned before its content ends."""
        sampled = random.random() * self.sample < 1 <= self.sample  # noqa: S311 - no secret
        return Unwrapped(self, message, sampled, digests=PartDigests(self.parts) if self.digests else None)


class _Nobody:
    """Stands for an engine where archives are opened for their names only."""

    name = "miltscan"
    required = False

    def scan(self, _message: Message, _deadline: float, _tick: Tick) -> Verdict:
        """Nothing is found."""
        return Verdict.clean(self.name)


class _Item(NamedTuple):
    """Something to be scanned by itself, unless it is only to be looked into."""

    inner: Inner
    depth: int
    scanned: bool = True


@dataclass(slots=True)
class Unwrapped:
    """A message, read once for all engines. `structure` is what is known of it then, None before."""

    unwrapping: Unwrapping
    message: Message
    sampled: bool
    structure: Structure | None = None
    digests: PartDigests | None = None
    _reading: Reading | None = None
    _private: bool = False
    """Whether it holds what only its recipients can read."""
    _unlocked: bool = False
    """Whether a word of it opened an archive in it."""
    _archived: dict[str, tuple[Attachment, ...]] = field(default_factory=dict)
    """The files in archives that were opened, by the paths of these."""
    _looked: bool = False
    """Whether all archives that can be opened were."""
    _defects: ReaderDefects = field(init=False)

    def __post_init__(self) -> None:
        self._defects = ReaderDefects(self.message)

    def scan(self, engine: Engine, deadline: float, tick: Tick) -> Verdict:
        """The worst of the engine's verdicts on message and parts by `deadline` (time.monotonic seconds).

        Raises only what `tick` does.
        """
        whole = engine.scan(self.message, deadline, tick)
        found = whole.outcome is Outcome.INFECTED and not whole.suspected
        if whole.failed or (found and not self.digests):
            return whole
        try:
            sealed = whole.reason is Limit.ENCRYPTED
            every = found or (sealed and self.unwrapping.passwords > 0)
            verdicts = (*self._verdicts(engine, deadline, tick, every=every),)
            # what was encrypted in an archive that was opened is known; of the rest the parts tell
            worst = combined(verdicts if sealed and self._unlocked and verdicts else (whole, *verdicts))
        except MtaGoneError:
            raise
        except (SpoolError, OSError) as error:
            return whole if found else Verdict.error(engine.name, Fault.SPOOL, str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours; the message is not at fault
            fault = self._defects.verdict(engine.name, error)
            return whole if found else fault or replace(whole, detail=_AS_A_WHOLE)
        if found:  # the parts were only to say which of them it is
            return whole
        if self.structure and self.structure.plain and severity(worst) > severity(whole):
            self.structure = self.structure._replace(missed=True)
        return worst

    def known(self, tick: Tick) -> tuple[Structure | None, Verdict | None]:
        """What is known of the structure, with the attachments if they are wanted; and why they could not be seen.

        A rule that refuses some of them must not let all pass then. Raises only what `tick` does.
        """
        if self.digests:
            self._complete_digests(self.digests, tick)
        if not self.unwrapping.attachments:
            return self.structure, None
        files, found, fault = self._files(tick), tuple[Attachment, ...](), None
        try:
            found = (*files.of(self._read(tick)), *self._in_archives(files, tick))
        except MtaGoneError:
            raise
        except (SpoolError, OSError) as error:
            files.unseen, fault = True, Verdict.error("spool", Fault.SPOOL, str(error))
        except Exception as error:  # noqa: BLE001 - as above
            files.unseen, fault = True, self._defects.verdict("miltscan", error)
        structure = self.structure or _UNREAD
        unseen = (AttachmentAnomaly.FILES_UNSEEN,) if files.unseen else ()
        self.structure = structure._replace(attachments=found, anomalies=(*structure.anomalies, *unseen))
        return self.structure, fault

    def _complete_digests(self, digests: PartDigests, tick: Tick) -> None:
        """Hash what the scan has not. The archive does without a message that cannot be read: it stops no mail."""
        try:
            reading, late = self._read(tick), Budget(self._bounds(tick), self.message.size).late
            with turn(self.message.size, tick):
                found = digests.of(self.message, reading, late)
            self.structure = (self.structure or _UNREAD)._replace(digests=found, detected=(*digests.detected,))
        except MtaGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._defects.verdict("miltscan", error)

    def _in_archives(self, files: MessageFiles, tick: Tick) -> Iterator[Attachment]:
        """The files in archives that another program opens; those of which no engine was asked are opened now."""
        if self.unwrapping.unpacking is None:
            return
        if not self._looked:
            before = self.structure
            deque(self._verdicts(_Nobody(), time.monotonic() + _LOOKING, tick, every=False), maxlen=0)
            self.structure = before
        every = chain.from_iterable(self._archived.values())
        yield from islice(every, MOST_FILES)
        files.unseen = files.unseen or not self._looked or next(every, None) is not None

    def _files(self, tick: Tick) -> MessageFiles:
        bounds = self._bounds(tick)
        budget = Budget(bounds, self.message.size)
        return MessageFiles(self.unwrapping.directory, self.unwrapping.memory, bounds, budget)

    def _bounds(self, tick: Tick) -> ContainerBounds:
        deadline = time.thread_time() + _SECONDS + _SECONDS_PER_MIB * self.message.size / MIB
        return ContainerBounds(clock=ticking_clock(tick), deadline=deadline, file=self.unwrapping.file)

    def _verdicts(self, engine: Engine, deadline: float, tick: Tick, *, every: bool) -> Iterator[Verdict]:
        """The verdicts on the parts, attachments first, until one is infected; and on what was not read.

        With `every` no part is left out: it must be known which one is infected, or has something encrypted within it.
        """
        reading = self._read(tick)
        every = every or self.sampled or not reading.plain
        parts = sorted(reading.parts, key=is_text)
        waiting = deque(_Item(Inner(one.path, one.chunks), 0, every) for one in parts if every or may_contain(one))
        limits = _limits_of(reading, encrypted=self._private)
        yield from (Verdict.unscanned(engine.name, *limit) for limit in limits)
        if waiting:
            yield from self._scanned(engine, waiting, deadline, tick)
        else:
            self._looked = True

    def _scanned(self, engine: Engine, waiting: deque[_Item], deadline: float, tick: Tick) -> Iterator[Verdict]:
        """The verdicts on parts, and on what is within them."""
        bounds = self._bounds(tick)
        budget, seen, scanned = Budget(bounds, self.message.size), set[bytes](), 0
        passwords = Passwords(partial(words_of, self._read(tick), self.unwrapping.passwords))
        opening = Opening(budget, deadline, tick, passwords, self.unwrapping.attachments)
        while waiting:
            item = waiting.popleft()
            with closing(Spool(self.unwrapping.directory, self.unwrapping.memory)) as spool:
                digest, fault = self._copied(item.inner, spool, budget, tick)
                if fault:
                    yield Verdict.unscanned(engine.name, fault[0], f"part {item.inner.path}: {fault[1]}")
                if digest in seen or not spool.size:
                    continue
                if item.scanned and scanned >= self.unwrapping.parts:
                    yield Verdict.unscanned(engine.name, Limit.LIMITS, f"more than {scanned} parts (mime.parts)")
                    return
                scanned += item.scanned
                seen.add(digest)
                inside = self._inside(item.inner.path, spool, opening)
                yield from self._not_seen(engine, item.inner.path, inside, opening)
                if inside.inner and item.depth >= bounds.depth:
                    yield Verdict.unscanned(engine.name, Limit.LIMITS, f"part {item.inner.path}: too deep")
                else:
                    # next, not last: until they are scanned, the archive that they are slices of stays in memory
                    waiting.extendleft(_Item(one, item.depth + 1, one.hidden) for one in reversed(inside.inner))
                if not item.scanned:
                    continue
                if time.monotonic() >= deadline:
                    yield Verdict.unscanned(engine.name, Limit.TIMEOUT, "the parts of the message took too long")
                    return
                verdict = self._part_verdict(engine, item.inner.path, spool, inside, opening)
            if self.digests and verdict.outcome is Outcome.INFECTED:
                self.digests.detected[digest] = None
            yield verdict
            if verdict.outcome is Outcome.INFECTED and not verdict.suspected:
                return
        self._looked = True

    def _part_verdict(self, engine: Engine, path: str, spool: Spool, inside: Inside, opening: Opening) -> Verdict:
        """The verdict on the part of this path alone."""
        size = spool.size
        verdict = engine.scan(self.message._replace(content=spool, size=size), opening.deadline, opening.tick)
        spool.recycle()
        if inside.unlocked and verdict.reason is Limit.ENCRYPTED:
            verdict = Verdict.clean(engine.name, verdict.server)  # what it could not see is scanned next
        if verdict.outcome is not Outcome.CLEAN:
            verdict = replace(verdict, part=path)
        self._note(scan=ScannedPart(path, size, verdict))
        return verdict

    def _not_seen(self, engine: Engine, path: str, inside: Inside, opening: Opening) -> Iterator[Verdict]:
        """Why some of what is within a part cannot be scanned."""
        yield from (Verdict.unscanned(engine.name, *limit) for limit in inside.limits)
        if inside.rar:
            directory = self.unwrapping.directory
            yield from unopened_rar(engine, path, self.message, directory, opening.deadline, tick=opening.tick)

    def _inside(self, path: str, spool: Spool, opening: Opening) -> Inside:
        """What is within the part of this path."""
        with turn(spool.size, opening.tick):
            content = bytes_of(spool, spool.size)
            inside = look_inside(path, content, opening.budget.bounds, opening.budget)
            forget_pages(content)
        if inside.foreign:
            unpacking = self.unwrapping.unpacking
            inside = unpacking.opened(path, inside, spool.fileno(), opening) if unpacking else inside.unopened()
            self._unlocked = self._unlocked or inside.unlocked
            self._archived[path] = inside.files
        self._note(inside=inside)
        return inside

    def _read(self, tick: Tick) -> Reading:
        if self._reading is None:
            with turn(self.message.size, tick):
                began = time.thread_time()
                content = bytes_of(self.message.content, self.message.size, len(PREFACE))
                self._reading = reading = read_message(content, Bounds(ticking_clock(tick)))
                self._private = reading.encrypted or any(map(is_encrypted, reading.parts))
                seconds = time.thread_time() - began
                forget_pages(content)
            anomalies = tuple(sorted(reading.anomalies))
            self.structure = Structure(reading.plain, self.sampled, anomalies, seconds, encrypted=self._private)
        return self._reading

    def _copied(self, inner: Inner, spool: Spool, budget: Budget, tick: Tick) -> tuple[bytes, tuple[Limit, str] | None]:
        """The digest of a part, which is in the spool then, and why it is not complete."""
        with turn(self.message.size, tick):
            digest, fault = copy_part(inner.chunks(), spool, budget)
        if self.digests and spool.size and not fault:
            self.digests.note(inner.path, digest)
        return digest, fault

    def _note(self, *, scan: ScannedPart | None = None, inside: Inside | None = None) -> None:
        """Note a part that was scanned, or what is within one."""
        if self.structure is None:
            return
        if scan:
            self.structure = self.structure._replace(scans=(*self.structure.scans, scan))
        if inside and inside.unlocked:
            self.structure = self.structure._replace(encrypted=True)
        if inside and (inside.anomalies or inside.limits or any(one.hidden for one in inside.inner)):
            anomalies = tuple(sorted({*self.structure.anomalies, *inside.anomalies}))
            self.structure = self.structure._replace(plain=False, anomalies=anomalies)


def _limits_of(reading: Reading, *, encrypted: bool) -> Iterator[tuple[Limit, str]]:
    """Why a message was not read completely."""
    if encrypted:
        yield Limit.ENCRYPTED, "S/MIME or OpenPGP"
    if reading.malformed:
        yield Limit.MALFORMED, ", ".join(sorted(reading.anomalies))
    if reading.limit:
        yield Limit.LIMITS, f"a bound of the reader: {reading.limit}"
