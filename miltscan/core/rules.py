"""Rules: the first one that matches decides. `residual` is what is left of them once some facts are known. Pure.

A rule matches if one of its tables `when` holds with all its conditions, and no condition of `unless` does. A condition
may be undecided (see `conditions`), and so may a rule.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from miltscan.core.conditions import Condition
from miltscan.core.effect import Effect
from miltscan.core.facts import NOTHING_KNOWN, Facts
from miltscan.core.message import Direction
from miltscan.core.verdict import Outcome

ALWAYS: tuple[tuple[Condition, ...], ...] = ((),)
"""The tables `when` of a rule without conditions."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; one that is not to be enforced (`enforce`) is only logged and counted."""

    name: str
    when: tuple[tuple[Condition, ...], ...]
    unless: tuple[Condition, ...]
    effect: Effect
    enforce: bool = True

    def matches(self, facts: Facts) -> bool | None:
        """Whether it matches; None if that depends on a fact that is not known."""
        result: bool | None = False
        for table in self.when:
            held = _all(table, facts)
            if held:
                result = True
                break
            if held is None:
                result = None
        if result is False:
            return False
        for one in self.unless:
            excluded = one.test(facts)
            if excluded:
                return False
            if excluded is None:
                result = None
        return result

    def rest(self, facts: Facts) -> "Rule | None":
        """The rule that decides as this one does wherever these facts are known; None if it cannot match any more."""
        unless: tuple[Condition, ...] = ()
        for one in self.unless:
            excluded = one.test(facts)
            if excluded:
                return None
            if excluded is None:
                unless = (*unless, one)
        when: tuple[tuple[Condition, ...], ...] = ()
        for table in self.when:
            rest = _rest(table, facts)
            if rest is not None and rest not in when:
                when = (*when, rest)
        if not when:
            return None
        if () in when:
            when = ALWAYS
        return (
            self
            if (when, unless) == (self.when, self.unless)
            else Rule(self.name, when, unless, self.effect, self.enforce)
        )

    @property
    def always(self) -> bool:
        """Whether it matches every message."""
        return () in self.when and not self.unless


def _all(table: Iterable[Condition], facts: Facts) -> bool | None:
    result: bool | None = True
    for one in table:
        held = one.test(facts)
        if held is False:
            return False
        if held is None:
            result = None
    return result


def _rest(table: Sequence[Condition], facts: Facts) -> tuple[Condition, ...] | None:
    """The conditions that are still undecided; None if one has failed."""
    left: tuple[Condition, ...] = ()
    for one in table:
        held = one.test(facts)
        if held is False:
            return None
        if held is None:
            left = (*left, one)
    return left


Residual = tuple[Rule, ...]
"""The rules that may still decide, in their order."""


def residual(rules: Iterable[Rule], facts: Facts) -> Residual:
    """What is left of the rules where these facts are known: it decides as they do, whatever the other facts are.

    Recipients with equal residuals receive the same decision for any content.
    """
    left: list[Rule] = []
    for rule in rules:
        rest = rule.rest(facts)
        if rest is None:
            continue
        left.append(rest)
        if rest.enforce and rest.always:
            break
    return tuple(left)


@dataclass(frozen=True, slots=True)
class Match:
    """The rule that decides (None: none matches), and the names of those that would, were they enforced.

    `settled` is False where a fact that is not known could make an earlier rule decide. `waiting` is True where such a
    fact decides whether one that is not enforced matches.
    """

    rule: Rule | None
    observed: tuple[str, ...] = ()
    settled: bool = True
    waiting: bool = False


NO_MATCH = Match(None)


def first(rules: Sequence[Rule], facts: Facts) -> Match:
    """The first rule that matches."""
    observed: list[str] = []
    waiting = False
    for rule in rules:
        matched = rule.matches(facts)
        if matched is False:
            continue
        if rule.enforce:
            return Match(rule if matched else None, tuple(observed), matched is True, waiting)
        if matched:
            observed.append(rule.name)
        else:
            waiting = True
    return Match(None, tuple(observed), waiting=waiting) if observed or waiting else NO_MATCH


@dataclass(frozen=True)
class Rules:
    """The rules of one configuration, in their order."""

    rules: tuple[Rule, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    @cached_property
    def _partitions(self) -> Mapping[tuple[Outcome | None, Direction], Residual]:
        """For each outcome, or none yet, and direction the rules that can match: most rules are not about most mail."""
        return {
            (outcome, direction): residual(self.rules, NOTHING_KNOWN._replace(outcome=outcome, direction=direction))
            for outcome, direction in product((*Outcome, None), Direction)
        }

    @cached_property
    def reads(self) -> frozenset[str]:
        """The fields of `Facts` that the conditions read."""
        return frozenset(
            name for rule in self.rules for table in (*rule.when, rule.unless) for one in table for name in one.reads
        )

    @cached_property
    def headers(self) -> tuple[bytes, ...]:
        """The names of the headers that the conditions read, in lower case."""
        conditions = (one for rule in self.rules for table in (*rule.when, rule.unless) for one in table)
        return tuple(dict.fromkeys(name for one in conditions for name in one.headers))

    def left(self, facts: Facts) -> Residual:
        """The rules that can still match with the outcome and the direction in `facts`."""
        return self.rules if facts.direction is None else self._partitions[facts.outcome, facts.direction]

    def decide(self, facts: Facts) -> Match:
        """The first rule that matches."""
        return first(self.left(facts), facts)


NO_RULES = Rules()
