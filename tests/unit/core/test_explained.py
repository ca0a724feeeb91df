"""Explained decisions: each step names the conditions behind it, and the explanation agrees with the decision."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.action import Accept, Reject, TempFail
from miltscan.core.explained import Case, Consulted, consult_lists, explained, known_facts
from miltscan.core.facts import Facts, HeaderIndex, WeekTime
from miltscan.core.lists import Lists
from miltscan.core.message import Client, Direction, Envelope
from miltscan.core.rule_steps import StepResult, fact_text, rule_steps
from miltscan.core.ruled import Scanned, rule_on
from miltscan.core.rules import Rule, Rules, first
from miltscan.core.template import Template
from miltscan.core.verdict import Limit, Outcome, SpamAction, Verdict
from tests.fakes.list_entries import listed
from tests.fakes.messages import message, policy
from tests.unit.core.test_rules import FACTS, HIDDEN, RULES, hide, rule

NOW = WeekTime(2, 600)
INFECTED = Verdict.infected("clamd", "Win.Test.X")
TWO = message(envelope=Envelope(b"<s@example.org>", (b"<a@example.test>", b"<b@other.test>")))


def case(*verdicts: Verdict, **fields: Any) -> Case:  # noqa: ANN401 - any field of a case
    """A message to two recipients."""
    return Case(TWO, verdicts or (INFECTED,), NOW)._replace(**fields)


def results(rules: list[Rule], facts: Facts) -> list[StepResult]:
    """What became of each rule."""
    return [one.result for one in rule_steps(rules, facts)]


def test_what_becomes_of_each_rule() -> None:
    """A rule that is not enforced decides nothing, and those behind the first match are not reached."""
    facts = Facts(outcome=Outcome.INFECTED, size=100)
    infected, large, unknown = {"outcome": "infected"}, {"size_from": 200}, {"tls": True}
    rules = [rule("o", infected, enforce=False), rule("n", large), rule("d", infected), rule("b", infected)]
    assert results(rules, facts) == [
        StepResult.OBSERVED,
        StepResult.NO_MATCH,
        StepResult.DECIDES,
        StepResult.NOT_REACHED,
    ]
    assert results([rule("u", unknown), rule("m", infected)], facts) == [StepResult.UNDECIDED, StepResult.MAY_DECIDE]
    assert results([rule("u", unknown, enforce=False), rule("m", infected)], facts)[1] is StepResult.DECIDES


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (rule("r", {"size_from": 200, "outcome": "infected"}), [("when", "size_from = 200", False, "100", ())]),
        (
            rule("r", {"size_from": 200}, {"size_to": 50}),
            [("when[1]", "size_from = 200", False, "100", ()), ("when[2]", "size_to = 50", False, "100", ())],
        ),
        (rule("r", unless={"size_from": 50}), [("unless", "size_from = 50", True, "100", ())]),
        (rule("r", {"tls": True}, unless={"size_from": 50}), [("unless", "size_from = 50", True, "100", ())]),
        (rule("r", {"tls": True, "size_from": 50}), [("when", "tls = true", None, "", ("tls",))]),
        (
            rule("r", {"tls": True}, {"size_from": 50}, unless={"user": "x"}),
            [("unless", 'user = "x"', None, "", ("user",))],
        ),
        (
            rule("r", {"header": {"X-A": "b"}}),
            [("when", 'header = { X-A = "b" }', False, 'x-a: "c\\x1b", "d"', ())],
        ),
        (rule("r", {"class": "Macro"}), [("when", 'class = "Macro"', False, "Win.Test.X, class Test", ())]),
    ],
)
def test_the_conditions_behind_a_step(one: Rule, expected: list[tuple[object, ...]]) -> None:
    """Those that failed, with what the message has; or those that a missing fact leaves open."""
    headers = HeaderIndex([(b"X-A", b" c\x1b"), (b"x-a", b" d")])
    facts = Facts(outcome=Outcome.INFECTED, size=100, headers=headers, signature="Win.Test.X")
    (step,) = rule_steps([one], facts)
    found = [(tried.place, str(tried.condition), tried.held, tried.value, tried.missing) for tried in step.tried]
    assert found == expected


@given(RULES, FACTS, HIDDEN)
def test_the_explanation_agrees_with_the_decision(rules: list[Rule], facts: Facts, hidden: set[str]) -> None:
    """The step that decides is the first match; without one that may decide before it, it is settled."""
    known = hide(facts, hidden)
    match, steps = first(rules, known), rule_steps(rules, known)
    deciding = [one.rule for one in steps if one.result is StepResult.DECIDES]
    assert deciding == ([match.rule] if match.rule and match.settled else [])
    undecided = [one for one in steps if one.result is StepResult.UNDECIDED and one.rule.enforce]
    assert match.settled is not bool(undecided)
    assert len(steps) == len(rules)


@given(RULES, FACTS, HIDDEN)
def test_each_step_that_decides_nothing_has_a_reason(rules: list[Rule], facts: Facts, hidden: set[str]) -> None:
    """A condition that failed or excluded, or one without its fact."""
    for step in rule_steps(rules, hide(facts, hidden)):
        if step.result is StepResult.NO_MATCH:
            assert step.tried
            assert all(one.held is (one.place == "unless") for one in step.tried)
        elif step.result is StepResult.UNDECIDED:
            assert step.tried
            assert all(one.held is None and one.missing for one in step.tried)
        else:
            assert step.tried == ()


def naming_its_recipient(one: Rule) -> Rule:
    """The rule with a reply and a header that depend on who its recipients are."""
    template = Template.parse("{recipient}")
    return replace(one, effect=replace(one.effect, text=template, add_headers=(("X-To", template),)))


@given(RULES, st.sampled_from([INFECTED, Verdict.clean("clamd"), Verdict.unscanned("clamd", Limit.TIMEOUT)]))
def test_each_recipient_has_the_decision_of_the_service(rules: list[Rule], verdict: Verdict) -> None:
    """This holds where everything is known, also for what replies and headers say of the recipients."""
    chosen = policy(rules=Rules(tuple(map(naming_its_recipient, rules))))
    ruling = rule_on(chosen, Scanned(TWO, verdict, (verdict,), NOW))
    found = explained(chosen, Consulted(case(verdict)))
    decisions = {at: group.decision for group in ruling.groups for at in group.recipients}
    assert [one.decision for one in found] == [decisions.get(at, ruling.decision) for at in (0, 1)]
    assert {name for one in found for name in one.observed} == {*ruling.observed} or ruling.observed == ()


def test_recipients_whose_address_is_not_known_may_be_of_the_same_group() -> None:
    """Then nothing names the one that is known."""
    chosen = policy(rules=Rules((naming_its_recipient(rule("r", {"recipient": "@example.test"})),)))
    for others, expected in ((0, "550 5.7.1 <a@example.test> ("), (1, "550 5.7.1  (")):
        one, _ = explained(chosen, Consulted(case(Verdict.clean("clamd"), others=others)))
        assert one.decision
        assert str(one.decision.reply).startswith(expected)


def test_an_unknown_verdict_leaves_the_policy_open() -> None:
    """Nothing is guessed; the fact that is missing is named."""
    (one, _) = explained(policy(), Consulted(case()._replace(verdicts=())))
    assert (one.decision, one.needs) == (None, ("outcome",))
    unscanned = Verdict("clamd", Outcome.UNSCANNED)
    (one, _) = explained(policy(), Consulted(case(unscanned, unknown=frozenset({"reason"}))))
    assert (one.decision, one.needs) == (None, ("reason",))
    chosen = policy(rules=Rules((rule("r", {"tls": True}),)))
    (one, _) = explained(chosen, Consulted(case(unknown=frozenset({"tls"}))))
    assert (one.decision, one.needs) == (None, ("tls",))


def test_without_a_recipient_the_rules_are_explained_once() -> None:
    """They are those for any recipient."""
    nobody = message(envelope=Envelope(b"<s@example.org>"))
    chosen = policy(rules=Rules((rule("r", {"recipient": "@a.example"}),)))
    (one,) = explained(chosen, Consulted(case(message=nobody)))
    assert (one.recipient, one.needs) == (None, ("recipient",))


def test_the_lists_are_asked_first() -> None:
    """A deny entry decides, an allow entry changes the verdict; neither where it has expired."""
    allow, deny = listed(signature="Win.Test.X"), listed("deny", sender="@example.org", signature="")
    deny = replace(deny, id="zzzzzzzz")
    consulted = consult_lists(policy(), case(), Lists((allow, deny)), 0.0)
    assert (consulted.denied, consulted.allowed, consulted.unasked) == ((deny,), (allow,), ())
    assert all(one.decision and isinstance(one.decision.action, Reject) for one in explained(policy(), consulted))
    consulted = consult_lists(policy(), case(), Lists((allow,)), 0.0)
    assert known_facts(policy(), consulted.case).reason is Limit.ALLOWED
    assert [type(one.decision.action) for one in explained(policy(), consulted) if one.decision] == [TempFail] * 2
    gone = replace(deny, until=1.0)
    assert consult_lists(policy(), case(), Lists((gone,)), 2.0).denied == ()


@pytest.mark.parametrize(
    ("entry", "fields", "needed"),
    [
        ({"sender": "<>"}, {"unknown": frozenset({"sender"})}, ("sender",)),
        ({"recipient": "@example.test"}, {"others": 1}, ("recipient",)),
        ({"digest": "5a" * 32}, {}, ("digest",)),
        ({"authenticated": True}, {"unknown": frozenset({"authenticated"})}, ("authenticated",)),
        ({}, {"verdicts": ()}, ("signature",)),
    ],
)
def test_an_entry_that_asks_for_what_is_unknown(
    entry: dict[str, Any], fields: dict[str, Any], needed: tuple[str, ...]
) -> None:
    """It is passed over, and the fact is named: an unknown sender is not the empty one."""
    one = listed("deny", **{"signature": "Win.Test.X"} | entry)
    consulted = consult_lists(policy(), case(**fields), Lists((one,)), 0.0)
    assert (consulted.denied, consulted.unasked) == ((), needed)


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (True, "yes"),
        (NOW, "Wed 10:00"),
        ({"rspamd": 8.5}, "rspamd 8.5"),
        ({"rspamd": SpamAction.SOFT_REJECT}, "rspamd soft reject"),
        ({}, "none"),
        ("", "none"),
        (b"<a\x1b@b>", "<a\\x1b@b>"),
        (Direction.INBOUND, "inbound"),
        (5, "5"),
    ],
)
def test_the_text_of_a_fact(fact: object, text: str) -> None:
    """It is cleaned, and fit for a person."""
    assert fact_text(fact) == text


def test_a_known_direction_counts() -> None:
    """The log names it; the mailer, from which it follows, is not known there."""
    inside = message(client=Client("h", "10.0.0.1"))
    one = Case(inside, (Verdict.clean("clamd"),), NOW, way=Direction.INTERNAL)
    assert known_facts(policy(), one).direction is Direction.INTERNAL
    assert all(
        isinstance(each.decision.action, Accept) for each in explained(policy(), Consulted(one)) if each.decision
    )
