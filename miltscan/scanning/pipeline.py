"""What happens to a message at its EOM: a scan slot, the engines under one deadline, the decision.

It knows neither milter nor sockets, and owns no message: its caller does until the decision is carried out.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

from miltscan.core.action import Accept, Decision
from miltscan.core.early import ruled_at_mail
from miltscan.core.facts import WeekTime
from miltscan.core.lists import Consultation, ListName, ListStanding
from miltscan.core.message import Direction, Message, direction
from miltscan.core.noted import notes_on
from miltscan.core.policy import Policy
from miltscan.core.report import Listed, Report, Timed
from miltscan.core.ruled import Ruling, Scanned, may_accept, rule_on_standings
from miltscan.core.verdict import Limit, Outcome, Verdict, missing, severity, worst
from miltscan.engines.base import Engine, Tick
from miltscan.scanning.unwrapping import Unwrapped, Unwrapping

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
    cannot use up their time. `filters` are asked after them, without a scan slot, for what would be accepted. `consult`
    returns the allow and deny lists for a message, None where they are empty. Without `unwrapping` an engine sees whole
    messages only.
    """

    engines: Sequence[Engine]
    policy: Policy
    slots: Slots
    timeout: float
    queue_wait: float
    filters: Sequence[SpamFilter] = ()
    consult: Consult = no_lists
    unwrapping: Unwrapping | None = None

    def process(self, message: Message, tick: Tick) -> Report:
        """The report on a message; what an engine's defect raises passes through, and the caller tempfails."""
        began = time.monotonic()
        if message.settled:
            return self._unasked(message, message.settled, began, tick)
        if not _took(self.slots, began + self.queue_wait, tick):
            busy = Verdict.unscanned("pipeline", Limit.BUSY, "every scan slot is taken")
            return self._unasked(message, busy, began, tick)
        scanning = time.monotonic()
        try:
            lists = self.consult(message, tick)
            unwrapped = self.unwrapping.of(message) if self.unwrapping else None
            scanned = self._scanned(message, unwrapped, lists, scanning, tick)
            if unwrapped:
                structure, fault = unwrapped.known(tick)
                message = message._replace(structure=structure)
                scanned = (*scanned, Timed(fault, 0.0)) if fault else scanned
        finally:
            self.slots.put(None)
        standings = _standings(message, lists, [timed.verdict for timed in scanned], filtered=bool(self.filters))
        filtered: tuple[Timed, ...] = ()
        if self.filters:
            standings, filtered = self._filtered(message, standings, scanning + self.timeout, tick)
        return self._report(message, standings, (*scanned, *filtered), (began, scanning))

    def _filtered(
        self, message: Message, standings: Sequence[ListStanding], deadline: float, tick: Tick
    ) -> tuple[Sequence[ListStanding], tuple[Timed, ...]]:
        """The standings after the anti-spam engines, and their verdicts; they are asked for what may be accepted."""
        accepted = [self._may_accept(message, one) for one in standings]
        opinions: tuple[Timed, ...] = ()
        if any(accepts and not one.exempt for accepts, one in zip(accepted, standings, strict=True)):
            opinions = (*self._opinions(message, deadline, tick),)
        verdicts = [timed.verdict for timed in opinions]
        after = []
        for accepts, one in zip(accepted, standings, strict=True):
            if not accepts:  # an exemption from what is not asked is none
                after.append(one._replace(exempt=None))
            else:
                after.append(one if one.exempt else one._replace(verdicts=(*one.verdicts, *verdicts)))
        return after, opinions

    def _may_accept(self, message: Message, standing: ListStanding) -> bool:
        """Whether somebody may receive the message, whatever the anti-spam engines say."""
        if standing.denied:
            return False
        verdict = worst(standing.verdicts, self.policy.optional)
        return may_accept(self.policy, Scanned(message, verdict, standing.verdicts, week_time()), standing.positions)

    def _scanned(
        self, message: Message, unwrapped: Unwrapped | None, lists: Consultation | None, now: float, tick: Tick
    ) -> tuple[Timed, ...]:
        deadline = now + self.timeout
        verdicts: tuple[Timed, ...] = ()
        for engine in self.engines:
            if now < deadline:
                verdict = unwrapped.scan(engine, deadline, tick) if unwrapped else engine.scan(message, deadline, tick)
            else:  # its servers have no part in the delay, and must not be suspected for it
                verdict = Verdict.unscanned(engine.name, Limit.TIMEOUT, "the engines before it used up the time")
            before, now = now, time.monotonic()
            verdicts = (*verdicts, Timed(verdict, now - before))
            if verdict.outcome is Outcome.INFECTED and not (lists and lists.passes(verdict)):
                break
        return verdicts

    def _opinions(self, message: Message, deadline: float, tick: Tick) -> Iterator[Timed]:
        """The verdicts of the anti-spam engines that are asked about such mail, and the time they took."""
        for one in self.filters:
            began = time.monotonic()
            if verdict := one.judge(message, deadline, tick):
                yield Timed(verdict, time.monotonic() - began)

    def _report(
        self,
        message: Message,
        standings: Sequence[ListStanding],
        verdicts: tuple[Timed, ...],
        times: tuple[float, float],
    ) -> Report:
        """The report on a message with these standings and the verdicts before the lists.

        It waited for its scan slot from the first time to the other.
        """
        began, scanning = times
        policy = self.policy
        ruling = rule_on_standings(policy, message, standings, week_time())
        shown = max(standings, key=lambda one: severity(worst(one.verdicts, policy.optional)))
        listed = _listed(standings)
        verdict = worst(shown.verdicts, policy.optional)
        if listed:
            after = {one.engine: one for one in shown.verdicts}
            verdicts = tuple(one._replace(verdict=after.get(one.verdict.engine, one.verdict)) for one in verdicts)
        absent = missing(shown.verdicts, policy.optional) if policy.optional else ()
        waited, seconds = scanning - began, time.monotonic() - began
        notes = (*notes_on(policy.rules, message),) if policy.rules else ()
        return Report(
            message,
            verdict,
            ruling.decision,
            verdicts,
            waited,
            seconds,
            absent,
            listed=listed,
            groups=ruling.groups,
            observed=ruling.observed,
            notes=notes,
        )

    def _unasked(self, message: Message, verdict: Verdict, began: float, tick: Tick) -> Report:
        """The report where the verdict is known without an engine, which took the time since `began` to learn."""
        standings = _standings(message, self.consult(message, tick), (verdict,), filtered=False)
        return self._report(message, standings, (Timed(verdict, 0.0),), (began, time.monotonic()))


def _standings(
    message: Message, lists: Consultation | None, verdicts: Sequence[Verdict], *, filtered: bool
) -> Sequence[ListStanding]:
    if lists:
        return lists.standings(verdicts, filtered=filtered)
    return [ListStanding((*range(len(message.envelope.recipients)),), (*verdicts,))]


def _listed(standings: Sequence[ListStanding]) -> Listed | None:
    """The first entry that applied: of the deny list, or one that changed a verdict or made an exemption."""
    for one in standings:
        if one.denied:
            return Listed(ListName.DENY, one.denied.id)
    for one in standings:
        allowing = next((verdict.allowed for verdict in one.verdicts if verdict.allowed), "")
        if allowing := allowing or (one.exempt.id if one.exempt else ""):
            return Listed(ListName.ALLOW, allowing)
    return None


@dataclass(frozen=True, slots=True)
class AtMail:
    """Decides at MAIL on a message whose announced size is too large, unless a rule may decide otherwise at its end."""

    pipeline: Pipeline

    def process(self, message: Message, tick: Tick) -> Report:
        """The report; one that accepts means that the end must be awaited, and is not recorded."""
        policy = self.pipeline.policy
        if not policy.rules:
            return self.pipeline.process(message, tick)
        began = time.monotonic()
        verdict = message.settled or Verdict.clean("session")
        ruling = ruled_at_mail(policy, message) or Ruling(Decision(Accept(), "undecided"))
        seconds = time.monotonic() - began
        timed = Timed(verdict, 0.0)
        return Report(message, verdict, ruling.decision, (timed,), 0.0, seconds, observed=ruling.observed)


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


def week_time() -> WeekTime:
    """The time of the week on this host."""
    now = time.localtime()
    return WeekTime(now.tm_wday, now.tm_hour * 60 + now.tm_min)
