"""What happens to a message at its EOM: a scan slot, the engines under one deadline, the decision.

It knows neither milter nor sockets, and owns no message: its caller does until the decision is carried out.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from miltscan.core.message import Message
from miltscan.core.policy import Policy, decide
from miltscan.core.report import Report, Timed
from miltscan.core.verdict import Limit, Outcome, Verdict, worst
from miltscan.engines.base import Engine, Tick

_TICK = 1.0
"""Seconds between two signs of life to the MTA: its default patience is ten (`T=R:10s`)."""


Slots = SimpleQueue[None]
"""The scan slots that are free, a token each. Written in C: a semaphore of `threading` costs ten times as much."""


def scan_slots(number: int) -> Slots:
    """So many scan slots, all free."""
    slots: Slots = SimpleQueue()
    for _ in range(number):
        slots.put(None)
    return slots


class Processor(Protocol):
    """What makes a report of a message."""

    def process(self, message: Message, tick: Tick) -> Report:
        """The report; `tick` is called at least once a second meanwhile."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The engines and rules of one configuration; `timeout` and `queue_wait` in seconds."""

    engines: Sequence[Engine]
    policy: Policy
    slots: Slots
    timeout: float
    queue_wait: float

    def process(self, message: Message, tick: Tick) -> Report:
        """The report on a message; what an engine's defect raises passes through, and the caller tempfails."""
        began = time.monotonic()
        if message.settled:
            return self._report(message, (Timed(message.settled, 0.0),), began, 0.0)
        if not (self._has_slot(0.0) or self._wait_for_slot(tick)):
            busy = Verdict.unscanned("pipeline", Limit.BUSY, "every scan slot is taken")
            return self._report(message, (Timed(busy, 0.0),), began, time.monotonic() - began)
        try:
            return self._scan(message, began, tick)
        finally:
            self.slots.put(None)

    def _wait_for_slot(self, tick: Tick) -> bool:
        deadline = time.monotonic() + self.queue_wait
        while (left := deadline - time.monotonic()) > 0:
            if self._has_slot(min(left, _TICK)):
                return True
            tick()
        return False

    def _has_slot(self, wait: float) -> bool:
        try:
            self.slots.get(block=wait > 0, timeout=wait or None)
        except Empty:
            return False
        return True

    def _scan(self, message: Message, began: float, tick: Tick) -> Report:
        now = time.monotonic()
        waited, deadline = now - began, now + self.timeout
        verdicts: tuple[Timed, ...] = ()
        for engine in self.engines:
            verdict = engine.scan(message, deadline, tick)
            before, now = now, time.monotonic()
            verdicts = (*verdicts, Timed(verdict, now - before))
            if verdict.outcome is Outcome.INFECTED:
                break
        return self._report(message, verdicts, began, waited)

    def _report(self, message: Message, verdicts: tuple[Timed, ...], began: float, waited: float) -> Report:
        verdict = worst([timed.verdict for timed in verdicts])
        decision = decide(self.policy, message, verdict)
        return Report(message, verdict, decision, verdicts, waited, time.monotonic() - began)
