"""What happens to a message at its EOM: a scan slot, the engines under one deadline, the decision.

It knows neither milter nor sockets, and owns no message: its caller does until the decision is carried out.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from miltscan.core.action import Decision
from miltscan.core.lists import Consultation, ListName
from miltscan.core.message import Message
from miltscan.core.policy import Policy, decide, denial
from miltscan.core.report import Listed, Report, Timed
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


Consult = Callable[[Message, Tick], Consultation | None]
"""Returns the allow and deny lists for a message; None where they are empty."""


def no_lists(_message: Message, _tick: Tick) -> None:
    """No list applies to the message."""


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
        if self.skip_above is not None and message.size > self.skip_above:
            detail = f"{message.size} bytes, {self.name} is asked for at most {self.skip_above}"
            return Verdict.unscanned(self.name, Limit.TOO_LARGE, detail)
        if self.timeout is not None:
            deadline = min(deadline, time.monotonic() + self.timeout)
        return self.engine.scan(message, deadline, tick)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The engines and rules of one configuration; `timeout` and `queue_wait` in seconds.

    The engines share one deadline and are asked in their order: required ones come first, so that an optional one
    cannot use up their time. `consult` returns the allow and deny lists for a message, None where they are empty.
    """

    engines: Sequence[Engine]
    policy: Policy
    slots: Slots
    timeout: float
    queue_wait: float
    consult: Consult = no_lists

    def process(self, message: Message, tick: Tick) -> Report:
        """The report on a message; what an engine's defect raises passes through, and the caller tempfails."""
        began = time.monotonic()
        if message.settled:
            return self._unasked(message, message.settled, began, tick)
        if not (self._has_slot(0.0) or self._wait_for_slot(tick)):
            busy = Verdict.unscanned("pipeline", Limit.BUSY, "every scan slot is taken")
            return self._unasked(message, busy, began, tick)
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
        lists = self.consult(message, tick)
        for engine in self.engines:
            if now < deadline:
                verdict = engine.scan(message, deadline, tick)
            else:  # its servers have no part in the delay, and must not be suspected for it
                verdict = Verdict.unscanned(engine.name, Limit.TIMEOUT, "the engines before it used up the time")
            if lists and verdict.outcome is Outcome.INFECTED:
                verdict = lists.allowed(verdict)  # before the next engine, which else would not be asked
            before, now = now, time.monotonic()
            verdicts = (*verdicts, Timed(verdict, now - before))
            if verdict.outcome is Outcome.INFECTED:
                break
        policy, opinions = self.policy, [timed.verdict for timed in verdicts]
        verdict = worst(opinions, policy.optional)
        absent = missing(opinions, policy.optional) if policy.optional else ()
        decision, listed = _decided(policy, message, verdict, opinions, lists)
        seconds = time.monotonic() - began
        return Report(message, verdict, decision, verdicts, waited, seconds, absent, listed=listed)

    def _unasked(self, message: Message, verdict: Verdict, began: float, tick: Tick) -> Report:
        """The report where the verdict is known without an engine, which took the time since `began` to learn."""
        decision, listed = _decided(self.policy, message, verdict, (), self.consult(message, tick))
        seconds = time.monotonic() - began
        return Report(message, verdict, decision, (Timed(verdict, 0.0),), seconds, seconds, listed=listed)


def _decided(
    policy: Policy, message: Message, verdict: Verdict, opinions: Sequence[Verdict], lists: Consultation | None
) -> tuple[Decision, Listed | None]:
    """The decision of the deny list, else of the policy; and the entry of a list that applied."""
    if lists is None:
        return decide(policy, message, verdict, opinions), None
    if entry := lists.denied(opinions):
        return denial(entry, message.queue_id), Listed(ListName.DENY, entry.id)
    allowing = next((one.allowed for one in (verdict, *opinions) if one.allowed), "")
    return decide(policy, message, verdict, opinions), Listed(ListName.ALLOW, allowing) if allowing else None
