"""What happens to a message at its EOM: a scan slot, the engines under one deadline, the decision.

It knows neither milter nor sockets, and owns no message: its caller does until the decision is carried out.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from miltscan.core.action import Accept
from miltscan.core.message import Direction, Message, direction
from miltscan.core.policy import Policy, decide
from miltscan.core.report import Report, Timed
from miltscan.core.verdict import Limit, Outcome, Verdict, missing, worst
from miltscan.engines.base import Engine, Tick

_TICK = 1.0
"""Seconds between two progress messages to the MTA, which by default waits ten (`T=R:10s`)."""


Slots = SimpleQueue[None]
"""The free scan slots, a token each. Written in C: a semaphore of `threading` costs ten times as much."""


def scan_slots(number: int) -> Slots:
    """This many scan slots, all free."""
    slots: Slots = SimpleQueue()
    for _ in range(number):
        slots.put(None)
    return slots


class Processor(Protocol):
    """Makes a report of a message."""

    def process(self, message: Message, tick: Tick) -> Report:
        """The report; `tick` is called at least once a second meanwhile."""


@dataclass(frozen=True, slots=True)
class Bounded:
    """An engine with its own bounds: `timeout` in seconds, and a size in bytes above which it is not asked."""

    engine: Engine
    timeout: float | None
    skip_above: int | None

    @property
    def name(self) -> str:
        """The engine's."""
        return self.engine.name

    @property
    def required(self) -> bool:
        """The engine's."""
        return self.engine.required

    def scan(self, message: Message, deadline: float, tick: Tick) -> Verdict:
        """The engine's verdict by its own deadline or by that of all engines, whichever is earlier."""
        return self.refused(message) or self.engine.scan(message, self.until(deadline), tick)

    def refused(self, message: Message) -> Verdict | None:
        """The verdict on a message that is too large for it; None for others."""
        if self.skip_above is None or message.size <= self.skip_above:
            return None
        detail = f"{message.size} bytes, {self.name} is asked for at most {self.skip_above}"
        return Verdict.unscanned(self.name, Limit.TOO_LARGE, detail)

    def until(self, deadline: float) -> float:
        """Its own deadline for a scan that begins now, within that of all engines."""
        return deadline if self.timeout is None else min(deadline, time.monotonic() + self.timeout)


@dataclass(frozen=True, slots=True)
class SpamFilter:
    """An anti-spam engine with the messages that it is asked for at the same time, and the mail that it is spared."""

    engine: Bounded
    slots: Slots
    spared: frozenset[Direction]

    def judge(self, message: Message, deadline: float, tick: Tick) -> Verdict | None:
        """The engine's verdict by `deadline`; None where it is not asked about such mail."""
        if self.spared and direction(message.client, message.envelope) in self.spared:
            return None
        if refused := self.engine.refused(message):
            return refused
        deadline = self.engine.until(deadline)
        if not _took(self.slots, deadline, tick):
            return Verdict.unscanned(self.engine.name, Limit.BUSY, "it already scans as many messages as it may")
        try:
            return self.engine.scan(message, deadline, tick)
        finally:
            self.slots.put(None)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The engines and rules of one configuration; `timeout` and `queue_wait` in seconds.

    The engines share one deadline and are asked in their order: required ones come first, so that an optional one
    cannot use up their time. `filters` are asked after them, without a scan slot, for what would be accepted.
    """

    engines: Sequence[Engine]
    policy: Policy
    slots: Slots
    timeout: float
    queue_wait: float
    filters: Sequence[SpamFilter] = ()

    def process(self, message: Message, tick: Tick) -> Report:
        """The report on a message; what an engine's defect raises passes through, and the caller tempfails."""
        began = time.monotonic()
        if message.settled:
            return self._unasked(message, message.settled, began)
        if not _took(self.slots, began + self.queue_wait, tick):
            return self._unasked(message, Verdict.unscanned("pipeline", Limit.BUSY, "every scan slot is taken"), began)
        scanning = time.monotonic()
        deadline = scanning + self.timeout
        try:
            verdicts = self._scanned(message, scanning, deadline, tick)
        finally:
            self.slots.put(None)
        report = self._report(message, verdicts, began, scanning)
        if self.filters and isinstance(report.decision.action, Accept):
            report = self._report(message, (*verdicts, *self._filtered(message, deadline, tick)), began, scanning)
        return report

    def _scanned(self, message: Message, now: float, deadline: float, tick: Tick) -> tuple[Timed, ...]:
        verdicts: tuple[Timed, ...] = ()
        for engine in self.engines:
            if now < deadline:
                verdict = engine.scan(message, deadline, tick)
            else:  # its servers have no part in the delay, and must not be suspected for it
                verdict = Verdict.unscanned(engine.name, Limit.TIMEOUT, "the engines before it used up the time")
            before, now = now, time.monotonic()
            verdicts = (*verdicts, Timed(verdict, now - before))
            if verdict.outcome is Outcome.INFECTED:
                break
        return verdicts

    def _filtered(self, message: Message, deadline: float, tick: Tick) -> Iterator[Timed]:
        """The verdicts of the anti-spam engines that are asked about such mail, and the time they took."""
        for one in self.filters:
            began = time.monotonic()
            if verdict := one.judge(message, deadline, tick):
                yield Timed(verdict, time.monotonic() - began)

    def _report(self, message: Message, verdicts: tuple[Timed, ...], began: float, scanning: float) -> Report:
        """The report on a message with these verdicts; it waited for its scan slot from `began` to `scanning`."""
        policy, opinions = self.policy, [timed.verdict for timed in verdicts]
        verdict = worst(opinions, policy.optional)
        absent = missing(opinions, policy.optional) if policy.optional else ()
        decision = decide(policy, message, verdict, opinions)
        return Report(message, verdict, decision, verdicts, scanning - began, time.monotonic() - began, absent)

    def _unasked(self, message: Message, verdict: Verdict, began: float) -> Report:
        """The report where the verdict is known without an engine, which took the time since `began` to learn."""
        seconds = time.monotonic() - began
        return Report(message, verdict, decide(self.policy, message, verdict), (Timed(verdict, 0.0),), seconds, seconds)


def _took(slots: Slots, deadline: float, tick: Tick) -> bool:
    """Whether one of the slots was free by `deadline` (time.monotonic seconds), and is taken now."""
    wait = 0.0
    while True:
        try:
            slots.get(block=wait > 0, timeout=wait or None)
        except Empty:
            pass
        else:
            return True
        if wait:
            tick()
        if (left := deadline - time.monotonic()) <= 0:
            return False
        wait = min(left, _TICK)
