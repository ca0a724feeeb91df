"""Decides with the deny list, the rules and the policy: for each recipient, where decisions differ. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from miltscan.core.action import KEPT, ActionName, Decision, Reject, TempFail
from miltscan.core.edits import in_order
from miltscan.core.effect import edits_of, reply_of
from miltscan.core.facts import OF_FILTERS, Facts, HeaderIndex, WeekTime
from miltscan.core.lists import ListStanding
from miltscan.core.message import Message, direction
from miltscan.core.policy import Policy, action_of, decide, denial, marks
from miltscan.core.report import Group
from miltscan.core.rules import Match, Rule, first, residual
from miltscan.core.signature import signature_class
from miltscan.core.split import strictest
from miltscan.core.structure import anomalies_of
from miltscan.core.verdict import Limit, Outcome, Verdict, worst

_DELIVERING = frozenset({ActionName.ACCEPT, ActionName.COPY, ActionName.REDIRECT})
"""The actions of rules after which somebody receives the message at once."""


class Ruling(NamedTuple):
    """The decision on a message; `groups` where recipients differ, of which `decision` is then the strictest.

    `observed` are the names of the rules that would have decided, were they enforced.
    """

    decision: Decision
    groups: tuple[Group, ...] = ()
    observed: tuple[str, ...] = ()


class Scanned(NamedTuple):
    """A message to decide on, with `verdict` as the worst of `verdicts`, those of all engines."""

    message: Message
    verdict: Verdict
    verdicts: Sequence[Verdict]
    now: WeekTime


def facts_of(scanned: Scanned) -> Facts:
    """What rules may ask of a whole message; the recipient is not part of it."""
    message, verdict, verdicts, now = scanned
    client, envelope, given, structure = message.client, message.envelope, message.circumstances, message.structure
    # infected mail may have been scored for the sake of a recipient who receives it all the same
    opinions = () if verdict.outcome is Outcome.INFECTED else verdicts
    return Facts(
        now,
        client.address,
        client.name,
        given.daemon,
        bool(given.tls_version),
        envelope.authenticated,
        given.user,
        envelope.sender,
        None,
        direction(client, envelope),
        message.size,
        HeaderIndex(message.headers),
        verdict.outcome,
        verdict.reason or "",
        verdict.engine,
        "" if verdict.allowed else verdict.signature or "",  # what is allowed was not found, as far as rules go
        {one.engine: one.score for one in opinions if one.score is not None},
        {one.engine: one.advice.action for one in opinions if one.advice},
        structure.attachments if structure else (),
        anomalies_of(structure) if structure else frozenset(),
        any(one.reason is Limit.ENCRYPTED for one in verdicts) or bool(structure and structure.encrypted),
        structure.depth if structure else 0,
    )


def rule_on(policy: Policy, scanned: Scanned, audience: Sequence[int] | None = None) -> Ruling:
    """The decision on a message by the rules, else by the policy.

    `audience` are the recipients to decide for, by their positions; None for all, and then for none, too.
    """
    facts = facts_of(scanned)
    left = policy.rules.left(facts)
    match = first(left, facts)
    recipients = scanned.message.envelope.recipients
    if (match.settled and not match.waiting) or not recipients:
        return Ruling(decision_by(policy, addressed(scanned, audience), match.rule), observed=match.observed)
    left = residual(left, facts)
    places: dict[str, list[int]] = {}
    matches: dict[str, Match] = {}
    observed: dict[str, None] = {}
    for position in range(len(recipients)) if audience is None else audience:
        match = first(left, facts._replace(recipient=recipients[position]))
        name = match.rule.name if match.rule else ""
        places.setdefault(name, []).append(position)
        matches[name] = match
        observed.update(dict.fromkeys(match.observed))
    groups = tuple(
        Group((*those,), decision_by(policy, addressed(scanned, those), matches[name].rule))
        for name, those in places.items()
    )
    if len(groups) == 1:
        return Ruling(groups[0].decision, observed=(*observed,))
    return Ruling(strictest(groups), groups, (*observed,))


def addressed(scanned: Scanned, audience: Sequence[int] | None) -> Scanned:
    """The message to these of its recipients."""
    if audience is None:
        return scanned
    message = scanned.message
    envelope = message.envelope
    envelope = envelope._replace(recipients=tuple(envelope.recipients[one] for one in audience))
    return scanned._replace(message=message._replace(envelope=envelope))


def rule_on_standings(policy: Policy, message: Message, standings: Sequence[ListStanding], now: WeekTime) -> Ruling:
    """The decision of the deny list, else of rules and policy, on a message in which recipients have these standings.

    Each recipient has the decision that a message to those of its standing would have.
    """
    if len(standings) == 1:
        return _rule_on_standing(policy, message, standings[0], now, None)
    places: dict[tuple[Decision, Verdict], list[int]] = {}
    observed: dict[str, None] = {}
    for standing in standings:
        ruling = _rule_on_standing(policy, message, standing, now, standing.positions)
        observed.update(dict.fromkeys(ruling.observed))
        verdict = worst(standing.verdicts, policy.optional)
        for group in ruling.groups or (Group(standing.positions, ruling.decision),):
            places.setdefault((group.decision, verdict), []).extend(group.recipients)
    groups = tuple(Group((*sorted(those),), decision, verdict=verdict) for (decision, verdict), those in places.items())
    if len(groups) == 1:
        return Ruling(groups[0].decision, observed=(*observed,))
    return Ruling(strictest(groups), groups, (*observed,))


def _rule_on_standing(
    policy: Policy, message: Message, standing: ListStanding, now: WeekTime, audience: Sequence[int] | None
) -> Ruling:
    if standing.denied:
        return Ruling(denial(standing.denied, message.queue_id))
    verdict = worst(standing.verdicts, policy.optional)
    if not policy.rules:
        return Ruling(decide(policy, message, verdict, standing.verdicts))
    return rule_on(policy, Scanned(message, verdict, standing.verdicts, now), audience)


def may_accept(policy: Policy, scanned: Scanned, audience: Sequence[int] | None = None) -> bool:
    """Whether one of these recipients might receive a message after the anti-spam engines.

    They can make a clean one spam. What is not clean must be accepted without them: no score may let it pass.
    `audience` as for `rule_on`.
    """
    by_policy = decide(policy, *scanned[:3]).action.name is ActionName.ACCEPT
    if not policy.rules:
        return by_policy
    facts = facts_of(scanned)
    if scanned.verdict.outcome is Outcome.CLEAN:
        facts = facts._replace(outcome=None, engine=None, **dict.fromkeys(OF_FILTERS))
    left = policy.rules.left(facts)
    match = first(left, facts)
    if match.settled:
        return _delivers(match, by_policy=by_policy)
    left = residual(left, facts)
    recipients = addressed(scanned, audience).message.envelope.recipients
    return any(_delivers(first(left, facts._replace(recipient=one)), by_policy=by_policy) for one in recipients)


def _delivers(match: Match, *, by_policy: bool) -> bool:
    """Whether somebody may receive the message at once; where no rule matches, `by_policy`."""
    return not match.settled or (match.rule.effect.choice.action in _DELIVERING if match.rule else by_policy)


def decision_by(policy: Policy, scanned: Scanned, rule: Rule | None) -> Decision:
    """The decision that this rule makes on a message; None stands for the policy."""
    message, verdict, verdicts, _ = scanned
    if rule is None:
        return decide(policy, message, verdict, verdicts)
    effect = rule.effect
    action = action_of(effect.choice, verdict, message.queue_id, rule.name)
    values = _values(scanned, rule.name)
    if isinstance(action, Reject | TempFail):
        reply = reply_of(effect, values, action.reply)
        return Decision(type(action)(reply), rule.name)
    if not isinstance(action, KEPT):
        return Decision(action, rule.name)
    ours, own = marks(policy, message, verdict, verdicts), edits_of(effect, message.headers, values)
    return Decision(action, rule.name, in_order([*ours, *own]) if own else ours)


def _values(scanned: Scanned, rule: str) -> Mapping[str, str]:
    """The values of placeholders, as the message has them."""
    message, verdict, verdicts, _ = scanned
    scores = [one.score for one in verdicts if one.score is not None]
    recipients = message.envelope.recipients
    return {
        "class": signature_class(verdict.signature) if verdict.signature else "",
        "client": message.client.address,
        "engine": verdict.engine,
        "outcome": verdict.outcome,
        "queue_id": message.queue_id,
        "reason": verdict.reason or "",
        "recipient": recipients[0].decode("utf-8", "backslashreplace") if len(recipients) == 1 else "",
        "rule": rule,
        "score": f"{max(scores):.1f}" if scores else "",
        "sender": message.envelope.sender.decode("utf-8", "backslashreplace"),
        "signature": verdict.signature or "",
        "size": str(message.size),
    }
