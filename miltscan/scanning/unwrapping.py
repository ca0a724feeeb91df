"""Has the parts of a message scanned by themselves where mail programs may read it in another way than an engine does.

The reader (`core.mime`) decides what the parts are; an engine knows nothing of them. A detection in any part is one of
the message, and what cannot be read, or exceeds a bound, is not clean: docs/detection.md.
"""

import hashlib
import random
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from miltscan.core.anomalies import AttachmentAnomaly
from miltscan.core.contained import Inner, Inside, is_encrypted, look_inside, may_contain
from miltscan.core.containers.budget import Budget, ContainerBounds
from miltscan.core.message import PREFACE, Message
from miltscan.core.mime.part import Bounds, Reading
from miltscan.core.mime.reader import read_message
from miltscan.core.report import Place
from miltscan.core.structure import ScannedPart, Structure
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, severity
from miltscan.engines.base import Engine, Tick
from miltscan.errors import MtaGoneError, SpoolError
from miltscan.scanning.files import MessageFiles, bytes_of, copy_part, forget_pages, is_text
from miltscan.scanning.spool import Spool
from miltscan.telemetry import metrics
from miltscan.telemetry.log import logger

_TRIES = 3
"""A message at which the reader fails is tempfailed so often; then the verdict on the whole message stands alone."""
_REMEMBERED = 1000  # such messages
_failures: OrderedDict[bytes, int] = OrderedDict()
"""Their digests, and how often the reader has failed at them in this process."""
_turns = threading.Lock()
_TICK = 0.5  # seconds between two progress messages to the MTA
_SECONDS = 2.0  # of CPU time to look into the parts of one message


@dataclass(frozen=True, slots=True)
class Unwrapping:
    """How the messages of one configuration are unwrapped; `parts`, `file` and `sample` as in `MimeSettings`.

    A part above `memory` bytes is kept in `directory`, as a message is. `attachments` are looked at for rules.
    """

    directory: Path
    memory: int
    parts: int
    file: int
    sample: int
    attachments: bool = False

    def of(self, message: Message) -> "Unwrapped":
        """The message, to be scanned before its content ends."""
        return Unwrapped(self, message, sampled=self.sample > 0 and random.randrange(self.sample) == 0)  # noqa: S311 - no secret


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
    _reading: Reading | None = None

    def scan(self, engine: Engine, deadline: float, tick: Tick) -> Verdict:
        """The worst of the engine's verdicts on message and parts by `deadline` (time.monotonic seconds).

        Raises only what `tick` does.
        """
        whole = engine.scan(self.message, deadline, tick)
        if whole.outcome in {Outcome.INFECTED, Outcome.ERROR} or whole.failed:
            return whole
        try:
            worst = max((whole, *self._verdicts(engine, deadline, tick)), key=_weight)
        except MtaGoneError:
            raise
        except (SpoolError, OSError) as error:
            return Verdict.error(engine.name, Fault.SPOOL, str(error))
        except Exception as error:  # noqa: BLE001 - a defect of ours; the message is not at fault
            _report_defect(error)
            return self._after_defect(whole)
        if self.structure and self.structure.plain and severity(worst) > severity(whole):
            self.structure = self.structure._replace(missed=True)
        return worst

    def known(self, tick: Tick) -> Structure | None:
        """What is known of the structure, with the attachments if they are wanted; None if it could not be read.

        Raises only what `tick` does.
        """
        if self.unwrapping.attachments:
            try:
                reading = self._read(tick)
                bounds = self._bounds(tick)
                budget = Budget(bounds, self.message.size)
                files = MessageFiles(self.unwrapping.directory, self.unwrapping.memory, bounds, budget)
                found = tuple(files.of(reading))
            except MtaGoneError:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                _report_defect(error)
            else:
                if self.structure:
                    unseen = (AttachmentAnomaly.FILES_UNSEEN,) if files.unseen else ()
                    anomalies = (*self.structure.anomalies, *unseen)
                    self.structure = self.structure._replace(attachments=found, anomalies=anomalies)
        return self.structure

    def _bounds(self, tick: Tick) -> ContainerBounds:
        deadline = time.thread_time() + _SECONDS
        return ContainerBounds(clock=_ticking_clock(tick), deadline=deadline, file=self.unwrapping.file)

    def _verdicts(self, engine: Engine, deadline: float, tick: Tick) -> Iterator[Verdict]:
        """The verdicts on the parts, attachments first, until one is infected; and on what was not read."""
        reading = self._read(tick)
        bounds = self._bounds(tick)
        budget, seen = Budget(bounds, self.message.size), set[bytes]()
        every = self.sampled or not reading.plain
        parts = sorted(reading.parts, key=is_text)
        waiting = deque(_Item(Inner(one.path, one.chunks), 0, every) for one in parts if every or may_contain(one))
        encrypted = bool(self.structure and self.structure.encrypted)
        yield from (Verdict.unscanned(engine.name, *limit) for limit in _limits_of(reading, encrypted=encrypted))
        while waiting:
            item = waiting.popleft()
            with closing(Spool(self.unwrapping.directory, self.unwrapping.memory)) as spool:
                with _turn(tick):
                    digest, fault = copy_part(item.inner.chunks(), spool, bounds.clock)
                if fault:
                    yield Verdict.unscanned(engine.name, *fault)
                if digest in seen or not spool.size:
                    continue
                if len(seen) >= self.unwrapping.parts:
                    yield Verdict.unscanned(engine.name, Limit.LIMITS, f"more than {len(seen)} parts (mime.parts)")
                    return
                seen.add(digest)
                with _turn(tick):
                    content = bytes_of(spool, spool.size)
                    inside = look_inside(item.inner.path, content, bounds, budget)
                    forget_pages(content)
                self._note(inside=inside)
                yield from (Verdict.unscanned(engine.name, *limit) for limit in inside.limits)
                if inside.inner and item.depth >= bounds.depth:
                    yield Verdict.unscanned(engine.name, Limit.LIMITS, f"part {item.inner.path}: too deep")
                else:
                    waiting.extend(_Item(one, item.depth + 1, one.hidden) for one in inside.inner)
                if not item.scanned:
                    continue
                if time.monotonic() >= deadline:
                    yield Verdict.unscanned(engine.name, Limit.TIMEOUT, "the parts of the message took too long")
                    return
                size = spool.size
                verdict = engine.scan(self.message._replace(content=spool, size=size), deadline, tick)
                spool.recycle()
            if verdict.outcome is not Outcome.CLEAN:
                verdict = replace(verdict, part=item.inner.path)
            self._note(scan=ScannedPart(item.inner.path, size, verdict))
            yield verdict
            if verdict.outcome is Outcome.INFECTED:
                return

    def _read(self, tick: Tick) -> Reading:
        if self._reading is None:
            with _turn(tick):
                began = time.thread_time()
                content = bytes_of(self.message.content, len(PREFACE) + self.message.size)
                self._reading = reading = read_message(content[len(PREFACE) :], Bounds(_ticking_clock(tick)))
                encrypted = reading.encrypted or any(map(is_encrypted, reading.parts))
                seconds = time.thread_time() - began
                forget_pages(content)
            anomalies = tuple(sorted(reading.anomalies))
            self.structure = Structure(reading.plain, self.sampled, anomalies, seconds, encrypted=encrypted)
        return self._reading

    def _note(self, *, scan: ScannedPart | None = None, inside: Inside | None = None) -> None:
        """Note a part that was scanned, or what is within one."""
        if self.structure is None:
            return
        if scan:
            self.structure = self.structure._replace(scans=(*self.structure.scans, scan))
        if inside and (inside.anomalies or any(one.hidden for one in inside.inner)):
            anomalies = tuple(sorted({*self.structure.anomalies, *inside.anomalies}))
            self.structure = self.structure._replace(plain=False, anomalies=anomalies)

    def _after_defect(self, whole: Verdict) -> Verdict:
        """A tempfail for the first times: a corrected version may be there at the next try."""
        size = len(PREFACE) + self.message.size
        digest = hashlib.sha256(bytes_of(self.message.content, size)).digest()
        _failures[digest] = times = _failures.pop(digest, 0) + 1
        while len(_failures) > _REMEMBERED:
            _failures.popitem(last=False)
        if times <= _TRIES:
            return Verdict.error(whole.engine, Fault.EXCEPTION, "the structure of the message could not be read")
        return replace(whole, detail="only scanned as a whole: its structure could not be read")


def _weight(verdict: Verdict) -> tuple[int, bool, bool]:
    """As `worst` compares, but what is encrypted, and usually accepted, hides nothing else that was not scanned."""
    return *severity(verdict), verdict.reason is not Limit.ENCRYPTED


@contextmanager
def _turn(tick: Tick) -> Iterator[None]:
    """Wait for one's turn to read: it is work of one processor, and each reader holds a message in memory."""
    while not _turns.acquire(timeout=_TICK):
        tick()
    try:
        yield
    finally:
        _turns.release()


def _report_defect(error: Exception) -> None:
    metrics.EXCEPTIONS.child(Place.MIME).inc()
    logger().error("exception", where=Place.MIME, exc_info=error)


def _limits_of(reading: Reading, *, encrypted: bool) -> Iterator[tuple[Limit, str]]:
    """Why a message was not read completely."""
    if encrypted:
        yield Limit.ENCRYPTED, "S/MIME or OpenPGP"
    if reading.malformed:
        yield Limit.MALFORMED, ", ".join(sorted(reading.anomalies))
    if reading.limit:
        yield Limit.LIMITS, f"a bound of the reader: {reading.limit}"


def _ticking_clock(tick: Tick) -> Callable[[], float]:
    """CPU seconds of this thread; the MTA has a sign of life meanwhile."""
    due = time.monotonic() + _TICK

    def clock() -> float:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + _TICK
            tick()
        return time.thread_time()

    return clock
