"""Decides before a message arrives, where nothing that follows could change the decision. Pure.

At MAIL that is a message which is too large by its own account, at RCPT one recipient whom a rule refuses. What is not
known yet is None in the facts, and a rule that depends on it waits for the end of the message. So does the time of the
week, which goes on until then.
"""

from collections.abc import Iterable

from miltscan.core.action import ActionName
from miltscan.core.facts import NOTHING_KNOWN, Facts, WeekTime
from miltscan.core.message import Client, Direction, Envelope, Message, direction
from miltscan.core.patterns import address_keys
from miltscan.core.policy import Policy
from miltscan.core.ruled import Ruling, Scanned, decision_by
from miltscan.core.rules import Residual, Rule, Rules, first, residual
from miltscan.core.session import announced_size
from miltscan.core.template import PLACEHOLDERS
from miltscan.core.verdict import Verdict

_REFUSING = frozenset({ActionName.REJECT, ActionName.TEMPFAIL})
_OF_ENVELOPE = frozenset(
    {"client", "client_name", "daemon", "tls", "authenticated", "user", "sender", "recipient", "direction"}
)
"""The fields of `Facts` that may be known at RCPT."""
_TEXTS_AT_RCPT = frozenset({"client", "queue_id", "recipient", "rule", "sender"})
_TEXTS_AT_MAIL = frozenset(PLACEHOLDERS) - {"recipient"}
"""The placeholders that have their values then."""
_NO_TIME = WeekTime(0, 0)
_NOT_ASKED = Verdict.clean("session")
"""Stand for what no rule that decides early has read: the time, and the verdict at RCPT."""


def ruled_at_mail(policy: Policy, message: Message) -> Ruling | None:
    """The ruling on a message whose announced size is too large (its `settled` verdict); None if it has to wait."""
    verdict = message.settled
    if verdict is None:
        return None
    size = announced_size(message.envelope.arguments)
    facts = _at_envelope(message)._replace(
        size=size,
        outcome=verdict.outcome,
        reason=verdict.reason or "",
        engine=verdict.engine,
        signature="",
        scores={},
        spam_actions={},
    )
    match = first(policy.rules.left(facts), facts)
    if not match.settled or not (match.rule is None or _may_tell(match.rule, _TEXTS_AT_MAIL)):
        return None
    scanned = Scanned(message._replace(size=size), verdict, (), _NO_TIME)
    return Ruling(decision_by(policy, scanned, match.rule), observed=match.observed)


def ruled_at_rcpt(policy: Policy, spared: str, message: Message) -> Ruling | None:
    """The ruling that refuses the only recipient of a message that has not arrived; None if it has to wait.

    `spared` is the address of probes, as `address_keys` names it: a probe is refused at its end, with its proof.
    """
    recipient = message.envelope.recipients[0]
    if address_keys(recipient)[0] == spared:
        return None
    facts = _at_envelope(message)._replace(recipient=recipient)
    match = first(policy.rules.left(facts), facts)
    if match.rule is None or not _refuses(match.rule):
        return None
    return Ruling(decision_by(policy, Scanned(message, _NOT_ASKED, (), _NO_TIME), match.rule), observed=match.observed)


def refuses_at_rcpt(rules: Iterable[Rule]) -> bool:
    """Whether a rule may refuse a recipient at RCPT; not if one before it always waits for the message."""
    for rule in rules:
        if not rule.enforce:
            continue
        tables = [{name for one in table for name in one.reads} for table in rule.when]
        unless = {name for one in rule.unless for name in one.reads}
        if _refuses(rule) and unless <= _OF_ENVELOPE and any(table <= _OF_ENVELOPE for table in tables):
            return True
        if any(_OF_ENVELOPE.isdisjoint(table | unless) for table in tables):
            return False
    return False


def recipient_class(rules: Rules, message: Message) -> Residual:
    """What the rules leave open for the only recipient of an envelope that is not complete yet.

    Recipients of one message with equal classes receive the same decision, whatever follows. The direction is that of
    the whole message.
    """
    facts = _at_envelope(message)._replace(recipient=message.envelope.recipients[0], direction=None)
    return residual((rule for rule in rules if rule.enforce), facts)


def _at_envelope(message: Message) -> Facts:
    """What is known of a message when its envelope arrives; its recipients have different facts."""
    client, envelope, given = message.client, message.envelope, message.circumstances
    return NOTHING_KNOWN._replace(
        client=client.address,
        client_name=client.name,
        daemon=given.daemon,
        tls=bool(given.tls_version),
        authenticated=envelope.authenticated,
        user=given.user,
        sender=envelope.sender,
        direction=_settled_direction(client, envelope),
    )


def _settled_direction(client: Client, envelope: Envelope) -> Direction | None:
    """The direction, unless one more recipient may change it."""
    going = direction(client, envelope)
    return None if going is Direction.INTERNAL else going


def _refuses(rule: Rule) -> bool:
    """Whether the rule refuses, with a reply that is known at RCPT."""
    return rule.effect.choice.action in _REFUSING and _may_tell(rule, _TEXTS_AT_RCPT)


def _may_tell(rule: Rule, known: frozenset[str]) -> bool:
    text = rule.effect.text
    return text is None or all(not name or name in known for _, name in text.pieces)
