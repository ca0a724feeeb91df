"""Past messages under a candidate for the policy: what would change, and what cannot be known. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from miltscan.core.action import WITH_AREA
from miltscan.core.explained import Case, Consulted, explained
from miltscan.core.policy import Policy

EXAMPLES = 3
"""Messages that are named for each change."""


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

    `left_out` are those that no rule and no policy decided, `refused` the recipients who were refused at RCPT, each of
    which counts as a message. `missing` counts facts for want of which a message could
    not be decided.
    """

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

    def add(self, policy: Policy, case: Case, before: Treatment, name: str) -> None:
        """Decide one message again; `name` is its queue ID."""
        needs, after = _again(policy, case)
        if needs:
            self.undecided += 1
            self.missing.update(needs)
        elif after.action == before.action:
            self.same += 1
        else:
            change = Change(before, after)
            self.changes[change] += 1
            if len(self.examples[change]) < EXAMPLES:
                self.examples[change].append(name)


def _again(policy: Policy, case: Case) -> tuple[Sequence[str], Treatment]:
    """The facts that are missing, else what the candidate does."""
    if case.others and "recipient" in policy.rules.reads:
        return ("recipient",), Treatment("", "")
    found = explained(policy, Consulted(case))
    needs = dict.fromkeys(name for one in found for name in one.needs)
    decisions = [one.decision for one in found if one.decision]
    return (*needs,), treatment_of_all(
        (action_text(one.action.name, getattr(one.action, "area", "")), one.rule) for one in decisions
    )


def action_text(action: str, area: str) -> str:
    """The action with its area, as the configuration names it; a refused message that was kept has none."""
    return f"{action}:{area}" if area and action in WITH_AREA else action


def treatment_of_all(decisions: Iterable[tuple[str, str]]) -> Treatment:
    """The fate of a message whose recipients have these actions and rules."""
    pairs = [*decisions]
    actions = sorted({action for action, _ in pairs})
    rules = dict.fromkeys(rule for _, rule in pairs)
    return Treatment(" + ".join(actions), " + ".join(rules))
