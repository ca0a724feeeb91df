"""Has the parts of a message scanned by themselves where mail programs may read it in another way than an engine does.

The reader (`core.mime`) decides what the parts are; an engine knows nothing of them. A detection in any part is one of
the message, and what cannot be read, or exceeds a bound, is not clean: docs/detection.md.
"""

import hashlib
import mmap
import os
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from miltscan.core.message import PREFACE, Message
from miltscan.core.mime.part import Bounds, Part, Reading
from miltscan.core.mime.reader import read_message
from miltscan.core.report import Place, Structure
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, severity
from miltscan.engines.base import Engine, Tick
from miltscan.errors import MtaGoneError
from miltscan.scanning.spool import Spool
from miltscan.telemetry import metrics
from miltscan.telemetry.log import logger

_TRIES = 3
"""A message at which the reader fails is tempfailed so often; then the verdict on the whole message stands alone."""
_REMEMBERED = 1000  # such messages
_failures: OrderedDict[bytes, int] = OrderedDict()
"""Their digests, and how often the reader has failed at them in this process."""
_COPIED = 2**20  # bytes; the file of a larger message is never used for another one, so it can be mapped
_TICK = 0.5  # seconds between two progress messages to the MTA


@dataclass(frozen=True, slots=True)
class Unwrapping:
    """How the messages of one configuration are unwrapped; `parts` and `sample` as in `MimeSettings`.

    A part above `memory` bytes is kept in `directory`, as a message is.
    """

    directory: Path
    memory: int
    parts: int
    sample: int

    def of(self, message: Message) -> "Unwrapped":
        """The message, to be scanned before its content ends."""
        return Unwrapped(self, message, sampled=self.sample > 0 and random.randrange(self.sample) == 0)  # noqa: S311 - no secret


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
            reading = self._read(tick)
        except MtaGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect of ours; the message is not at fault
            metrics.EXCEPTIONS.child(Place.MIME).inc()
            logger().error("exception", where=Place.MIME, exc_info=error)
            return self._after_defect(whole)
        if reading.plain and not self.sampled:
            return whole
        worst = max((whole, *self._verdicts(engine, reading, deadline, tick)), key=_weight)
        if reading.plain and self.structure and severity(worst) > severity(whole):
            self.structure = self.structure._replace(missed=True)
        return worst

    def _read(self, tick: Tick) -> Reading:
        if self._reading is None:
            began = time.thread_time()
            self._reading = reading = read_message(_bytes_of(self.message), Bounds(_ticking_clock(tick)))
            anomalies = tuple(sorted(reading.anomalies))
            self.structure = Structure(reading.plain, self.sampled, anomalies, time.thread_time() - began)
        return self._reading

    def _verdicts(self, engine: Engine, reading: Reading, deadline: float, tick: Tick) -> Iterator[Verdict]:
        """The verdicts on the parts, attachments first, until one is infected; and on what was not read."""
        if reading.malformed:
            yield Verdict.unscanned(engine.name, Limit.MALFORMED, ", ".join(sorted(reading.anomalies)))
        if reading.limit:
            yield Verdict.unscanned(engine.name, Limit.LIMITS, f"a bound of the reader: {reading.limit}")
        seen = set[bytes]()
        for part in sorted(reading.parts, key=_is_text):
            if len(seen) >= self.unwrapping.parts:
                yield Verdict.unscanned(engine.name, Limit.LIMITS, f"more than {len(seen)} parts (mime.parts)")
                return
            with closing(Spool(self.unwrapping.directory, self.unwrapping.memory)) as spool:
                digest = _copy(part, spool)
                if digest in seen or not spool.size:
                    continue
                seen.add(digest)
                if time.monotonic() >= deadline:
                    yield Verdict.unscanned(engine.name, Limit.TIMEOUT, "the parts of the message took too long")
                    return
                verdict = engine.scan(self.message._replace(content=spool, size=spool.size), deadline, tick)
                spool.recycle()
            if self.structure:
                self.structure = self.structure._replace(scanned=self.structure.scanned + 1)
            yield replace(verdict, part=part.path or "1") if verdict.outcome is not Outcome.CLEAN else verdict
            if verdict.outcome is Outcome.INFECTED:
                return

    def _after_defect(self, whole: Verdict) -> Verdict:
        """A tempfail for the first times: a corrected version may be there at the next try."""
        digest = hashlib.sha256(_bytes_of(self.message)).digest()
        _failures[digest] = times = _failures.pop(digest, 0) + 1
        while len(_failures) > _REMEMBERED:
            _failures.popitem(last=False)
        if times <= _TRIES:
            return Verdict.error(whole.engine, Fault.EXCEPTION, "the structure of the message could not be read")
        return replace(whole, detail="only scanned as a whole: its structure could not be read")


def _weight(verdict: Verdict) -> tuple[int, bool, bool]:
    """As `worst` compares, but what is encrypted, and usually accepted, hides nothing else that was not scanned."""
    return *severity(verdict), verdict.reason is not Limit.ENCRYPTED


def _bytes_of(message: Message) -> memoryview:
    """The message in the spool, without the preface. Raises OSError."""
    descriptor, size = message.content.fileno(), len(PREFACE) + message.size
    if size <= _COPIED:
        return memoryview(os.pread(descriptor, size, 0))[len(PREFACE) :]
    return memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ))[len(PREFACE) :]


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


def _is_text(part: Part) -> bool:
    """Whether it is shown as text: scanned last, as most likely it is harmless."""
    return not part.names and all(one.startswith(b"text/") for one in part.types)


def _copy(part: Part, spool: Spool) -> bytes:
    """Write the content of a part to the spool; return its digest. Raises SpoolError."""
    digest = hashlib.sha256()
    for chunk in part.chunks():
        digest.update(chunk)
        spool.write(bytes(chunk))
    return digest.digest()
