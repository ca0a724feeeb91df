"""A candidate for the policy: what it would decide, and for how many recipients that is something else."""

import pytest

from miltscan.core.action import ActionName
from miltscan.core.facts import WeekTime
from miltscan.core.policy import denial, failed
from miltscan.core.report import Report, Shadow, Timed
from miltscan.core.ruled import Scanned, rule_on
from miltscan.core.shadow import shadow_of
from miltscan.core.verdict import Verdict
from tests.fakes.list_entries import listed
from tests.unit.core.test_ruled import BY_DOMAIN, CLEAN, INFECTED, NOW, THREE, ruled

REJECT_ALL = '[[rule]]\nname = "all"\naction = "reject"'


def decided(rules: str, verdict: Verdict) -> Report:
    """The report on a message to three recipients under these rules."""
    ruling = rule_on(ruled(rules), Scanned(THREE, verdict, (verdict,), NOW))
    return Report(THREE, verdict, ruling.decision, (Timed(verdict, 0.0),), 0.0, 0.0, groups=ruling.groups)


@pytest.mark.parametrize(
    ("in_force", "candidate", "verdict", "expected"),
    [
        ("", "", CLEAN, Shadow(ActionName.ACCEPT, "clean", 0)),
        ("", REJECT_ALL, CLEAN, Shadow(ActionName.REJECT, "all", 3)),
        ("", REJECT_ALL, INFECTED, Shadow(ActionName.REJECT, "all", 0)),
        ("", BY_DOMAIN, CLEAN, Shadow(ActionName.QUARANTINE, "theirs", 1)),
        (BY_DOMAIN, "", CLEAN, Shadow(ActionName.ACCEPT, "clean", 1)),
        (BY_DOMAIN, BY_DOMAIN, CLEAN, Shadow(ActionName.QUARANTINE, "theirs", 0)),
    ],
)
def test_what_the_candidate_decides(in_force: str, candidate: str, verdict: Verdict, expected: Shadow) -> None:
    """Another rule with the same action is no difference."""
    assert shadow_of(ruled(candidate), decided(in_force, verdict), WeekTime(0, 0)) == expected


def test_what_no_policy_decided_is_not_compared() -> None:
    """A list, or our own failure, decides whatever the policy is."""
    report = decided("", CLEAN)
    for decision in (denial(listed("deny", sender="@a"), ""), failed("")):
        assert shadow_of(ruled(REJECT_ALL), report._replace(decision=decision), NOW) is None


def test_a_message_without_recipients_has_one_fate() -> None:
    """It is one that was settled at MAIL."""
    report = decided("", CLEAN)
    none = report._replace(message=THREE._replace(envelope=THREE.envelope._replace(recipients=())))
    assert shadow_of(ruled(REJECT_ALL), none, NOW) == Shadow(ActionName.REJECT, "all", 1)
