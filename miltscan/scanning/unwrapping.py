"""Has the parts of a message scanned by themselves where mail programs may read it in another way than an engine does.

The reader (`core.mime`) decides what the parts are; an engine knows nothing of them. A detection in any part is one of
the message, and what cannot be read, or exceeds a bound, is not clean: docs/detection.md.
"""

import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

from miltscan.core.anomalies import AttachmentAnomaly
from miltscan.core.attachments import Attachment
from miltscan.core.contained import Inner, is_encrypted, may_contain
from miltscan.core.containers.budget import Budget, ContainerBounds
from miltscan.core.message import PREFACE, Message
from miltscan.core.mime.part import MIB, Bounds, Reading
from miltscan.core.mime.reader import read_message
from miltscan.core.structure import Structure
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, combined, severity
from miltscan.engines.base import Engine, Tick
from miltscan.errors import MtaGoneError, SpoolError
from miltscan.scanning.defects import ReaderDefects
from miltscan.scanning.digests import PartDigests
from miltscan.scanning.files import MOST_FILES, MessageFiles, bytes_of, forget_pages, is_text
from miltscan.scanning.part_scan import Item, PartScan, PartsKnown
from miltscan.scanning.rar import Asked
from miltscan.scanning.spool import Spool
from miltscan.scanning.turns import ticking_clock, turn
from miltscan.scanning.unpacking import Opening, Passwords, Unpacking, words_of

_LOOKING = 30.0  # seconds to open the archives of a message that no engine was asked about
_SECONDS, _SECONDS_PER_MIB = 2.0, 0.06  # of CPU time to look into the parts of one message
_AS_A_WHOLE = "only scanned as a whole: its structure could not be read"
_HEAD = 64 * 1024  # bytes in which the Subject is looked for
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


@dataclass(slots=True)
class Unwrapped:
    """A message, read once for all engines."""

    unwrapping: Unwrapping
    message: Message
    sampled: bool
    digests: PartDigests | None = None
    _seen: PartsKnown = field(default_factory=PartsKnown)
    _reading: Reading | None = None
    _private: bool = False
    """Whether it holds what only its recipients can read."""
    _defects: ReaderDefects = field(init=False)

    def __post_init__(self) -> None:
        self._defects = ReaderDefects(self.message)

    @property
    def structure(self) -> Structure | None:
        """What is known of it after it was read; None before."""
        return self._seen.structure

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
            verdicts = (*self._verdicts(Asked(engine, whole.server), deadline, tick, every=every),)
            # what was encrypted in an archive that was opened is known; of the rest the parts tell
            worst = combined(verdicts if sealed and self._seen.unlocked and verdicts else (whole, *verdicts))
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
            self._seen.structure = self.structure._replace(missed=True)
        return worst

    def known(self, tick: Tick) -> tuple[Structure | None, Verdict | None]:
        """What is known of the structure, with the attachments if they are wanted; and why they could not be seen.

        A rule that refuses some of them must not let all pass then. Raises only what `tick` does.
        """
        if self.digests:
            self._complete_digests(self.digests, tick)
        if not self.unwrapping.attachments:
            return self.structure, None
        files, found, depth, fault = self._files(tick), tuple[Attachment, ...](), 0, None
        try:
            found = (*files.of(self._read(tick)), *self._in_archives(files, tick))
            depth = max(self._seen.nesting.deepest, *(one.messages for one in self._read(tick).parts), 0)
        except MtaGoneError:
            raise
        except (SpoolError, OSError) as error:
            files.unseen, fault = True, Verdict.error("spool", Fault.SPOOL, str(error))
        except Exception as error:  # noqa: BLE001 - as above
            files.unseen, fault = True, self._defects.verdict("miltscan", error)
        structure = self.structure or _UNREAD
        unseen = (AttachmentAnomaly.FILES_UNSEEN,) if files.unseen else ()
        anomalies = (*structure.anomalies, *unseen)
        self._seen.structure = structure._replace(attachments=found, depth=depth, anomalies=anomalies)
        return self.structure, fault

    def _complete_digests(self, digests: PartDigests, tick: Tick) -> None:
        """Hash what the scan has not. The archive does without a message that cannot be read: it stops no mail."""
        try:
            reading, late = self._read(tick), Budget(self._bounds(tick), self.message.size).late
            with turn(self.message.size, tick):
                found = digests.of(self.message, reading, late)
            self._seen.structure = (self.structure or _UNREAD)._replace(digests=found, detected=(*digests.detected,))
        except MtaGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._defects.verdict("miltscan", error)

    def _in_archives(self, files: MessageFiles, tick: Tick) -> Iterator[Attachment]:
        """The files in archives that another program opens; those of which no engine was asked are opened now."""
        if not self._seen.complete:
            before = self.structure
            nobody = Asked(_Nobody(), "")
            deque(self._verdicts(nobody, time.monotonic() + _LOOKING, tick, every=False), maxlen=0)
            self._seen.structure = before
        every = chain.from_iterable(self._seen.archived.values())
        yield from islice(every, MOST_FILES)
        files.unseen = files.unseen or not self._seen.complete or next(every, None) is not None

    def _files(self, tick: Tick) -> MessageFiles:
        bounds = self._bounds(tick)
        budget = Budget(bounds, self.message.size)
        return MessageFiles(self.unwrapping.directory, self.unwrapping.memory, bounds, budget)

    def _bounds(self, tick: Tick) -> ContainerBounds:
        deadline = time.thread_time() + _SECONDS + _SECONDS_PER_MIB * self.message.size / MIB
        return ContainerBounds(clock=ticking_clock(tick), deadline=deadline, file=self.unwrapping.file)

    def _verdicts(self, asked: Asked, deadline: float, tick: Tick, *, every: bool) -> Iterator[Verdict]:
        """The verdicts on the parts, attachments first, until one is infected; and on what was not read.

        `asked` is the engine, and its server that scanned the whole. With `every` no part is left out: it must be known
        which one is infected, or has something encrypted within it.
        """
        reading = self._read(tick)
        every = every or self.sampled or not reading.plain
        parts = sorted(reading.parts, key=is_text)
        waiting = deque(
            Item(Inner(one.path, one.chunks), asked.server, every, one.messages)
            for one in parts
            if every or may_contain(one)
        )
        limits = _limits_of(reading, encrypted=self._private)
        yield from (Verdict.unscanned(asked.engine.name, *limit) for limit in limits)
        if waiting:
            yield from self._scanned(asked.engine, waiting, deadline, tick)
        else:
            self._seen.complete = True

    def _scanned(self, engine: Engine, waiting: deque[Item], deadline: float, tick: Tick) -> Iterator[Verdict]:
        """The verdicts on parts, and on what is within them."""
        unwrapping = self.unwrapping
        budget = Budget(self._bounds(tick), self.message.size)
        passwords = Passwords(partial(self._words, self._read(tick)))
        opening = Opening(budget, deadline, tick, passwords, unwrapping.attachments)
        spool = partial(Spool, unwrapping.directory, unwrapping.memory)
        most, unpacking = unwrapping.parts, unwrapping.unpacking
        scan = PartScan(engine, self.message, self._seen, opening, spool, most, unpacking, self.digests)
        yield from scan.verdicts(waiting)

    def _words(self, reading: Reading) -> tuple[str, ...]:
        """Words of the Subject and of the texts that may be passwords."""
        head = bytes_of(self.message.content, min(self.message.size, _HEAD), len(PREFACE))
        return words_of(bytes(head), reading, self.unwrapping.passwords)

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
            self._seen.structure = Structure(reading.plain, self.sampled, anomalies, seconds, encrypted=self._private)
        return self._reading


def _limits_of(reading: Reading, *, encrypted: bool) -> Iterator[tuple[Limit, str]]:
    """Why a message was not read completely."""
    if encrypted:
        yield Limit.ENCRYPTED, "S/MIME or OpenPGP"
    if reading.malformed:
        yield Limit.MALFORMED, ", ".join(sorted(reading.anomalies))
    if reading.limit:
        yield Limit.LIMITS, f"a bound of the reader: {reading.limit}"
