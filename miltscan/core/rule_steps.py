"""What became of each rule for a message, and the conditions that explain it, with what the message has there. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.attachments import Attachment
from miltscan.core.conditions import Condition
from miltscan.core.facts import Facts, WeekTime
from miltscan.core.rules import Rule
from miltscan.core.signature import signature_classes
from miltscan.core.text import readable

_LONGEST = 200  # characters of a value
_SEVERAL_SHOWN = 10  # attachments or anomalies
_HEADERS_SHOWN = 3  # of one name
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class StepResult(StrEnum):
    """What became of one rule."""

    DECIDES = "decides"
    MAY_DECIDE = "decides, unless an undecided rule before it does"
    OBSERVED = "matches, but is not enforced"
    NO_MATCH = "does not match"
    UNDECIDED = "undecided"
    NOT_REACHED = "not reached"


class Tried(NamedTuple):
    """A condition that explains a step: of `when`, `when[2]` or `unless`, with the value that the message has.

    `held` is None where facts are `missing`, which are named as fields of `Facts`.
    """

    place: str
    condition: Condition
    held: bool | None
    value: str
    missing: tuple[str, ...]


class RuleStep(NamedTuple):
    """One rule, what became of it, and the conditions that explain why it does not match, or may not."""

    rule: Rule
    result: StepResult
    tried: tuple[Tried, ...] = ()


def rule_steps(rules: Sequence[Rule], facts: Facts) -> tuple[RuleStep, ...]:
    """What became of each rule."""
    steps: list[RuleStep] = []
    settled, decided = True, False
    for rule in rules:
        matched = rule.matches(facts)
        if matched is False:
            steps.append(RuleStep(rule, StepResult.NO_MATCH, tuple(_failed(rule, facts))))
        elif decided:
            steps.append(RuleStep(rule, StepResult.NOT_REACHED))
        elif matched is None:
            steps.append(RuleStep(rule, StepResult.UNDECIDED, tuple(_open(rule, facts))))
            settled = settled and not rule.enforce
        elif rule.enforce:
            steps.append(RuleStep(rule, StepResult.DECIDES if settled else StepResult.MAY_DECIDE))
            decided = True
        else:
            steps.append(RuleStep(rule, StepResult.OBSERVED))
    return tuple(steps)


def _failed(rule: Rule, facts: Facts) -> Iterator[Tried]:
    """The conditions for which a rule does not match: those of `unless` that hold, else those of `when` that fail."""
    excluding = [one for one in _tried("unless", rule.unless, facts) if one.held]
    failing = [[one for one in table if one.held is False] for table in _tables(rule, facts)]
    if all(failing):
        yield from (one for table in failing for one in table)
    else:
        yield from excluding


def _open(rule: Rule, facts: Facts) -> Iterator[Tried]:
    """The conditions on which it depends whether a rule matches."""
    tables = [table for table in _tables(rule, facts) if all(one.held is not False for one in table)]
    if all(any(one.held is None for one in table) for table in tables):
        yield from (one for table in tables for one in table if one.held is None)
    yield from (one for one in _tried("unless", rule.unless, facts) if one.held is None)


def _tables(rule: Rule, facts: Facts) -> Iterator[list[Tried]]:
    for number, table in enumerate(rule.when, 1):
        yield _tried(f"when[{number}]" if len(rule.when) > 1 else "when", table, facts)


def _tried(place: str, conditions: Sequence[Condition], facts: Facts) -> list[Tried]:
    return [
        Tried(
            place,
            one,
            one.test(facts),
            _value(one, facts),
            tuple(name for name in one.reads if getattr(facts, name) is None),
        )
        for one in conditions
    ]


def _value(condition: Condition, facts: Facts) -> str:
    """What the message has where the condition looks, cleaned; empty if that is unknown."""
    if condition.key == "header":
        return ", ".join(_header_text(name, facts) for name in condition.headers) if facts.headers else ""
    texts = [fact_text(getattr(facts, name)) for name in condition.reads if getattr(facts, name) is not None]
    if condition.key == "class" and facts.signature:
        texts.append(f"class {' and '.join(signature_classes(facts.signature))}")
    return ", ".join(texts)


def _header_text(name: bytes, facts: Facts) -> str:
    values = facts.headers.values_of(name) if facts.headers else ()
    shown = [f'"{readable(one.strip(), _LONGEST)}"' for one in values[:_HEADERS_SHOWN]]
    return f"{name.decode()}: {', '.join(shown) or 'none'}{', ...' if len(values) > _HEADERS_SHOWN else ''}"


def fact_text(fact: object) -> str:
    """A fact for a person, cleaned."""
    match fact:
        case bool():
            return "yes" if fact else "no"
        case WeekTime(weekday, minute):
            return f"{_DAYS[weekday]} {minute // 60:02}:{minute % 60:02}"
        case Mapping():
            return (
                ", ".join(f"{readable(name, _LONGEST)} {_of_filter(value)}" for name, value in fact.items()) or "none"
            )
        case bytes() | str():
            return readable(fact, _LONGEST) or "none"
        case frozenset() | tuple():
            return ", ".join(sorted(map(_one_of_several, fact))[:_SEVERAL_SHOWN]) or "none"
    return str(fact)


def _of_filter(value: object) -> str:
    """The score or the action of an anti-spam engine."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _one_of_several(one: object) -> str:
    if not isinstance(one, Attachment):
        return str(one)
    name = readable(one.names[0], _LONGEST) if one.names else "without a name"
    return f"{name} ({one.type})"
