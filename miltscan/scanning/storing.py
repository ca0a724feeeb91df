"""A pipeline whose messages are in the quarantine before the MTA receives its answer, where the decision says so.

The message is stored by a thread of its own, so that the MTA sees progress while a disk is slow. Nothing here judges: a
message that could not be stored stays with its client. It writes no file itself: `keep` does.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from miltscan.config.settings import STORE_WAIT
from miltscan.core.action import Action, Discard, Quarantine
from miltscan.core.message import PREFACE, Message
from miltscan.core.policy import not_kept
from miltscan.core.report import Kept, Report
from miltscan.engines.base import Tick
from miltscan.errors import StoreError
from miltscan.scanning.background import WorkBounds, in_background
from miltscan.scanning.pipeline import Processor

_TICK = 1.0  # seconds between two progress messages to the MTA
_AT_ONCE = 64  # messages; a disk that hangs must not collect threads without end
_places = threading.BoundedSemaphore(_AT_ONCE)

Keep = Callable[[Report, str, int], str]
"""Stores the message of a report in an area; the bytes are read from a descriptor, at its offset 0 on, `PREFACE` first.

Returns the ID of the entry once it is durable; raises StoreError."""


@dataclass(frozen=True, slots=True)
class Storing:
    """What `processor` decides to quarantine, or to discard with a copy, goes through `keep` first.

    `patience` in seconds is the time for a message from its EOM to the answer; storing has at least `STORE_WAIT`.
    What is `exempt` is not stored: a probe. A report with groups was stored for each of them.
    """

    processor: Processor
    keep: Keep
    patience: float
    exempt: Callable[[Message], object]

    def process(self, message: Message, tick: Tick) -> Report:
        """As the processor's."""
        report = self.processor.process(message, tick)
        area = area_of(report.decision.action)
        if not area or report.groups or self.exempt(message):
            return report
        began = time.monotonic()
        try:
            entry, error = self._stored(report, area, tick), ""
        except StoreError as problem:
            entry, error = "", str(problem)
            report = report._replace(decision=not_kept(message.queue_id))
        seconds = time.monotonic() - began
        kept = Kept(area, entry, seconds, error)
        return report._replace(kept=kept, seconds=report.seconds + seconds)

    def _stored(self, report: Report, area: str, tick: Tick) -> str:
        """The ID of the entry; raises StoreError, also when the disk takes too long.

        After the bound it may still succeed: the client sends the message again.
        """
        content = content_of(report.message)
        bounds = WorkBounds(
            _places,
            time.monotonic() + max(STORE_WAIT, self.patience - report.seconds),
            _TICK,
            StoreError(f"quarantine: {_AT_ONCE} messages already wait for the disk"),
            StoreError("quarantine: the disk takes too long"),
        )
        return in_background(partial(self.keep, report, area, content), bounds, tick, partial(os.close, content))


def content_of(message: Message) -> int:
    """A descriptor of the content, for a thread that closes it; raises StoreError for an incomplete message."""
    descriptor = message.content.fileno()
    size = os.fstat(descriptor).st_size - len(PREFACE) if descriptor >= 0 else 0
    if size != message.size:
        raise StoreError(f"quarantine: of the message's {message.size} bytes only {max(size, 0)} are in the spool")
    message.content.retain()
    return os.dup(descriptor)


def area_of(action: Action) -> str:
    """The area in which a message with this action is kept; empty if it is not."""
    return action.area if isinstance(action, Quarantine | Discard) else ""
