"""A candidate for the policy, asked about messages that the policy in force has decided. Pure."""

from miltscan.core.facts import WeekTime
from miltscan.core.policy import Policy, is_of_policy
from miltscan.core.report import Report, Shadow
from miltscan.core.ruled import Ruling, Scanned, rule_on
from miltscan.core.verdict import worst


def shadow_of(candidate: Policy, report: Report, now: WeekTime) -> Shadow | None:
    """What the candidate makes of a message with the same verdicts.

    None where no rule and no policy decided it, or where lists made it several messages with verdicts of their own.
    """
    if not is_of_policy(report.decision.rule) or any(group.verdict for group in report.groups):
        return None
    verdicts = [timed.verdict for timed in report.verdicts]
    verdict = report.message.settled or (worst(verdicts, candidate.optional) if verdicts else report.verdict)
    ruling = rule_on(candidate, Scanned(report.message, verdict, verdicts, now))
    number = max(1, len(report.message.envelope.recipients))
    here, there = _fates(Ruling(report.decision, report.groups), number), _fates(ruling, number)
    differs = sum(one != other for one, other in zip(here, there, strict=True))
    return Shadow(ruling.decision.action.name, ruling.decision.rule, differs)


def _fates(ruling: Ruling, number: int) -> list[str]:
    """Action and area for each recipient."""
    fates = [_fate(ruling)] * number
    for group in ruling.groups:
        for position in group.recipients:
            fates[position] = _fate(Ruling(group.decision))
    return fates


def _fate(ruling: Ruling) -> str:
    action = ruling.decision.action
    return f"{action.name}:{getattr(action, 'area', '')}"
