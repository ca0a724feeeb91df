"""What happens to a message at its EOM: a scan slot, the engines under one deadline, the decision.

It knows neither milter nor sockets, and owns no message: its caller does until the decision is carried out.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from miltscan.core.message import Message
from miltscan.core.policy import Policy, decide
from miltscan.core.report import Report, Timed
from miltscan.core.verdict import Limit, Outcome, Verdict, worst
from miltscan.engines.base import Engine, Tick

_TICK = 1.0
"""Seconds between two signs of life to the MTA: its default patience is ten (`T=R:10s`)."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The engines and rules of one configuration; `timeout` and `queue_wait` in seconds."""

    engines: Sequence[Engine]
    policy: Policy
    slots: threading.Semaphore
    timeout: float
    queue_wait: float

    def process(self, message: Message, tick: Tick) -> Report:
        """The report on a message; what an engine's defect raises passes through, and the caller tempfails."""
        began = time.monotonic()
        if message.settled:
            return self._report(message, (Timed(message.settled, 0.0),), began, 0.0)
        if not self._take_slot(tick):
            busy = Verdict.unscanned("pipeline", Limit.BUSY, "every scan slot is taken")
            return self._report(message, (Timed(busy, 0.0),), began, time.monotonic() - began)
        try:
            return self._scan(message, began, tick)
        finally:
            self.slots.release()

    def _take_slot(self, tick: Tick) -> bool:
        if self.slots.acquire(blocking=False):
            return True
        deadline = time.monotonic() + self.queue_wait
        while (left := deadline - time.monotonic()) > 0:
            if self.slots.acquire(timeout=min(left, _TICK)):
                return True
            tick()
        return False

    def _scan(self, message: Message, began: float, tick: Tick) -> Report:
        now = time.monotonic()
        waited, deadline = now - began, now + self.timeout
        verdicts = []
        for engine in self.engines:
            verdict = engine.scan(message, deadline, tick)
            before, now = now, time.monotonic()
            verdicts.append(Timed(verdict, now - before))
            if verdict.outcome is Outcome.INFECTED:
                break
        return self._report(message, tuple(verdicts), began, waited)

    def _report(self, message: Message, verdicts: tuple[Timed, ...], began: float, waited: float) -> Report:
        opinions = [timed.verdict for timed in verdicts]
        decision = decide(self.policy, message, opinions)
        return Report(message, worst(opinions), decision, verdicts, waited, time.monotonic() - began)
