"""Past messages under a candidate for the policy: what would change, and what cannot be known. Pure."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from miltscan.core.action import WITH_AREA, Decision
from miltscan.core.explained import Case, Consulted, explained
from miltscan.core.policy import Policy
from miltscan.core.report import Group
from miltscan.core.split import RecipientMode, strictest

EXAMPLES = 3
"""Messages that are named for each change."""


class RecipientsFate(NamedTuple):
    """The action for some recipients of a message, and its rule; `recipients` are empty for all, or if unknown."""

    action: str
    rule: str
    recipients: tuple[bytes, ...] = ()


class Treatment(NamedTuple):
    """What was, or would be, done with a message: the actions and rules of its recipients, each once."""

    action: str
    rule: str


class Change(NamedTuple):
    """The fate of messages before and under the candidate."""

    before: Treatment
    after: Treatment


@dataclass
class Replay:
    """The tally of many messages; its memory depends on the rules, not on their number.

    `mode` is the candidate's. `left_out` are those that no rule and no policy decided, `refused` the recipients who
    were refused at RCPT, each of which counts as a message. `missing` counts facts for want of which a message could
    not be decided.
    """

    mode: RecipientMode = RecipientMode.EACH
    same: int = 0
    undecided: int = 0
    left_out: int = 0
    refused: int = 0
    changes: Counter[Change] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    examples: dict[Change, list[str]] = field(default_factory=lambda: defaultdict(list))

    @property
    def changed(self) -> int:
        """Messages that the candidate would treat otherwise."""
        return self.changes.total()

    def add(self, policy: Policy, case: Case, before: Sequence[RecipientsFate], name: str) -> None:
        """Decide one message again; `name` is its queue ID."""
        needs, after = _again(policy, case, self.mode)
        if needs:
            self.undecided += 1
            self.missing.update(needs)
        elif not _differ(before, after):
            self.same += 1
        else:
            change = Change(_treatment(before), _treatment(after))
            self.changes[change] += 1
            if len(self.examples[change]) < EXAMPLES:
                self.examples[change].append(name)


def _again(policy: Policy, case: Case, mode: RecipientMode) -> tuple[Sequence[str], Sequence[RecipientsFate]]:
    """The facts that are missing, else what the candidate does."""
    if case.others and "recipient" in policy.rules.reads:
        return ("recipient",), ()
    found = explained(policy, Consulted(case))
    if needs := (*dict.fromkeys(name for one in found for name in one.needs),):
        return needs, ()
    groups = [Group((place,), one.decision) for place, one in enumerate(found) if one.decision]
    if mode is RecipientMode.STRICTEST and len({group.decision.action for group in groups}) > 1:
        return (), (_fate(strictest(groups)),)
    return (), [_fate(group.decision, found[place].recipient) for group in groups for place in group.recipients]


def _fate(decision: Decision, recipient: bytes | None = None) -> RecipientsFate:
    action = decision.action
    who = () if recipient is None else (recipient,)
    return RecipientsFate(action_text(action.name, getattr(action, "area", "")), decision.rule, who)


def _differ(before: Sequence[RecipientsFate], after: Sequence[RecipientsFate]) -> bool:
    """Whether something else is done for one of the recipients, as far as they are known."""
    if {one.action for one in before} != {one.action for one in after}:
        return True
    then = {who: one.action for one in before for who in one.recipients}
    return any(then.get(who, one.action) != one.action for one in after for who in one.recipients)


def action_text(action: str, area: str) -> str:
    """The action with its area, as the configuration names it; a refused message that was kept has none."""
    return f"{action}:{area}" if area and action in WITH_AREA else action


def _treatment(fates: Sequence[RecipientsFate]) -> Treatment:
    actions = sorted({one.action for one in fates})
    rules = dict.fromkeys(one.rule for one in fates)
    return Treatment(" + ".join(actions), " + ".join(rules))
