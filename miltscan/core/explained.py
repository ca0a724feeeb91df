"""Explains a decision: each rule with the conditions that failed or that a missing fact leaves open. Pure.

A `Case` is a message as far as it is known. What is unknown stays so: a rule that depends on it is undecided, and so is
the decision if no rule before decides. Nothing is guessed.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from miltscan.core.action import ActionName, Decision
from miltscan.core.facts import OF_FILTERS, Facts, WeekTime
from miltscan.core.lists import Consultation, ListEntry, ListName, Lists, ListScope, ListStanding
from miltscan.core.message import Direction, Message
from miltscan.core.policy import Policy, denial
from miltscan.core.rule_steps import RuleStep, StepResult, rule_steps
from miltscan.core.ruled import Scanned, addressed, decision_by, facts_of
from miltscan.core.rules import Rule
from miltscan.core.verdict import Outcome, Verdict, severity, worst

OF_VERDICT = OF_FILTERS | {"outcome", "reason", "engine", "signature"}
"""The facts that come from engines."""
_UNKNOWN = Verdict.clean("none")


class Case(NamedTuple):
    """A message as far as it is known, at `now`.

    `unknown` are the fields of `Facts` that `message` and `verdicts` do not have; those of a verdict are unknown
    without any. `way` is the direction, where it is known otherwise than from the message. Of `others` recipients the
    address is unknown. With verdicts the outcome is unknown only if anti-spam engines may still find spam in a clean
    message. `digest` is the SHA-256 of the message, empty if unknown. `partial` means that the message may
    have more headers than are known.
    """

    message: Message
    verdicts: tuple[Verdict, ...]
    now: WeekTime
    unknown: frozenset[str] = frozenset()
    way: Direction | None = None
    others: int = 0
    digest: str = ""
    partial: bool = False


class Consulted(NamedTuple):
    """A case after the lists: what they make of it for its recipients, none without lists; the entries that apply.

    `case` has the verdicts of the recipients for whom they are worst. `unasked` are the facts for want of which some
    entries were not asked.
    """

    case: Case
    standings: tuple[ListStanding, ...] = ()
    denied: tuple[ListEntry, ...] = ()
    allowed: tuple[ListEntry, ...] = ()
    unasked: tuple[str, ...] = ()

    def standing(self, position: int) -> ListStanding:
        """What the lists make of it for the recipient at this position."""
        alike = (one for one in self.standings if position in one.positions)
        return next(alike, self.standings[0] if self.standings else ListStanding((), self.case.verdicts))


class Explained(NamedTuple):
    """The rules for one recipient, None where none is known, and the decision; without it what it `needs` to be made.

    `partial` as in `Case`: what the decision edits depends on headers that are not known.
    """

    recipient: bytes | None
    steps: tuple[RuleStep, ...]
    decision: Decision | None
    needs: tuple[str, ...] = ()
    partial: bool = False

    @property
    def rule(self) -> Rule | None:
        """The rule that decides; None if the policy or a list does, or if that is not known."""
        if self.decision is None:
            return None
        return next((one.rule for one in self.steps if one.rule.name == self.decision.rule), None)

    @property
    def observed(self) -> tuple[str, ...]:
        """The names of rules that match, but are not enforced."""
        return tuple(one.rule.name for one in self.steps if one.result is StepResult.OBSERVED)


class _Reached(NamedTuple):
    """What the rules say for one recipient: the case with the verdicts of its standing, and the rule that decides.

    None stands for the policy, and for what is not known for want of what it `needs`.
    """

    standing: ListStanding
    case: Case
    steps: tuple[RuleStep, ...]
    rule: Rule | None
    needs: tuple[str, ...]


def explained(policy: Policy, consulted: Consulted) -> list[Explained]:
    """The decision for each recipient, and why."""
    recipients = consulted.case.message.envelope.recipients or (None,)
    found = [_reached(policy, consulted, position) for position in range(len(recipients))]
    places: dict[object, list[int]] = {}
    for position, one in enumerate(found):
        places.setdefault(_group(one), []).append(position)
    decisions = {group: _decision(policy, found[those[0]], those) for group, those in places.items()}
    return [
        Explained(recipient, one.steps, decisions[_group(one)], one.needs, one.case.partial)
        for recipient, one in zip(recipients, found, strict=True)
    ]


def _group(reached: _Reached) -> object:
    """What recipients have in common for whom the same is done, as in `ruled.rule_on_standings`."""
    return reached.standing.positions, reached.rule.name if reached.rule else "", bool(reached.needs)


def _reached(policy: Policy, consulted: Consulted, position: int) -> _Reached:
    standing = consulted.standing(position)
    case = consulted.case._replace(verdicts=standing.verdicts)
    if standing.exempt:  # no anti-spam engine is asked: it has no score, and is no spam
        case = case._replace(unknown=case.unknown - OF_FILTERS - {"outcome"})
    facts, recipients = known_facts(policy, case), case.message.envelope.recipients
    steps = rule_steps(policy.rules.rules, facts._replace(recipient=recipients[position] if recipients else None))
    rule, needs = (None, ()) if standing.denied else _deciding(steps, facts)
    if needs == ("outcome",) and case.verdicts and policy.on_spam.action is ActionName.ACCEPT:
        needs = ()  # clean or spam, it is accepted
    return _Reached(standing, case, steps, rule, needs)


def _decision(policy: Policy, reached: _Reached, places: Sequence[int]) -> Decision | None:
    """The decision for the recipients at these places, whose group may have others; None if it is not known."""
    case, denied = reached.case, reached.standing.denied
    if denied:
        return denial(denied, case.message.queue_id)
    if reached.needs:
        return None
    verdict = worst(case.verdicts, policy.optional) if case.verdicts else _UNKNOWN
    scanned = Scanned(case.message, verdict, case.verdicts, case.now)
    is_whole = case.message.envelope.recipients and not case.others
    return decision_by(policy, addressed(scanned, places if is_whole else None), reached.rule)


def known_facts(policy: Policy, case: Case) -> Facts:
    """The facts of a case; the recipient is not part of it."""
    verdict = worst(case.verdicts, policy.optional) if case.verdicts else _UNKNOWN
    facts = facts_of(Scanned(case.message, verdict, case.verdicts, case.now))
    if case.way:
        facts = facts._replace(direction=case.way)
    unknown = case.unknown if case.verdicts else case.unknown | OF_VERDICT
    if facts.outcome is Outcome.INFECTED:  # has no score
        unknown -= OF_FILTERS
    return facts._replace(**dict.fromkeys(unknown))


def _deciding(steps: Sequence[RuleStep], facts: Facts) -> tuple[Rule | None, tuple[str, ...]]:
    """The rule that decides, None if the policy does; and the facts that are missing to know."""
    undecided = [one for one in steps if one.result is StepResult.UNDECIDED and one.rule.enforce]
    if undecided:
        return None, tuple(dict.fromkeys(name for one in undecided for tried in one.tried for name in tried.missing))
    rule = next((one.rule for one in steps if one.result is StepResult.DECIDES), None)
    if rule is None:
        needs = [name for name in ("outcome", "reason") if getattr(facts, name) is None]
        if needs and facts.outcome not in {Outcome.CLEAN, Outcome.SPAM, Outcome.INFECTED}:
            return None, (needs[0],)
    return rule, ()


def consult_lists(
    policy: Policy, case: Case, lists: Lists, now: float, scope: ListScope = ListScope.WHOLE
) -> Consulted:
    """The case after the lists at `now` (seconds of the epoch), asked only what is known about it."""
    needed = {one: [*_needed(one, case, scope)] for one in lists.entries}
    known = Lists(tuple(one for one, missing in needed.items() if not missing))
    unasked = tuple(dict.fromkeys(name for missing in needed.values() for name in missing))
    opinions = tuple(one for one in case.verdicts if one.outcome is Outcome.SPAM or one.engine in policy.filters)
    scanned = [one for one in case.verdicts if one not in opinions]
    asked = Consultation(known, case.message, now, lambda: case.digest, scope)
    standings = tuple(
        one if one.exempt else one._replace(verdicts=(*one.verdicts, *opinions))
        for one in asked.standings(scanned, filtered=bool(policy.filters))
    )
    found = dict.fromkeys(entry for one in standings for entry in (one.denied, one.exempt) if entry)
    by_id = {one.id: one for one in lists.entries}
    allowing = [by_id[one.allowed] for standing in standings for one in standing.verdicts if one.allowed]
    allowed = dict.fromkeys([*allowing, *(one for one in found if one.list is ListName.ALLOW)])
    verdicts = [one.verdicts for one in standings if one.verdicts]
    shown = max(verdicts, key=lambda one: severity(worst(one, policy.optional)), default=())
    return Consulted(
        case._replace(verdicts=shown),
        standings,
        tuple(one for one in found if one.list is ListName.DENY),
        (*allowed,),
        unasked,
    )


def _needed(entry: ListEntry, case: Case, scope: ListScope) -> Iterator[str]:
    """The facts that an entry asks for and the case does not have."""
    if entry.sender and "sender" in case.unknown:
        yield "sender"
    if entry.recipient and ((case.others and scope is not ListScope.EACH) or not case.message.envelope.recipients):
        yield "recipient"
    if entry.client and "client" in case.unknown:
        yield "client"
    if entry.authenticated and "authenticated" in case.unknown:
        yield "authenticated"
    if entry.digest and not case.digest:
        yield "digest"
    if entry.signature and (not case.verdicts or "signature" in case.unknown):
        yield "signature"
