"""Rules: which one decides, what is left of them, and what holds for all of them."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.action import ActionName, Choice
from miltscan.core.conditions import Condition, condition
from miltscan.core.effect import Effect
from miltscan.core.facts import Facts, HeaderIndex, WeekTime
from miltscan.core.lookup import Check, Source
from miltscan.core.message import Direction
from miltscan.core.rules import ALWAYS, NO_MATCH, Match, Rule, Rules, first, residual
from miltscan.core.verdict import Outcome, SpamAction

REJECT = Effect(Choice(ActionName.REJECT))


def no_source(_text: str, _check: Check) -> Source:
    """None is named here."""
    raise AssertionError


def conditions(table: dict[str, Any]) -> tuple[Condition, ...]:
    """The conditions of a table."""
    return tuple(condition(key, value, no_source) for key, value in table.items())


def rule(name: str, *when: dict[str, Any], unless: dict[str, Any] | None = None, enforce: bool = True) -> Rule:
    """A rule that rejects."""
    return Rule(name, tuple(map(conditions, when)) or ALWAYS, conditions(unless or {}), REJECT, enforce)


INFECTED = Facts(outcome=Outcome.INFECTED, direction=Direction.INBOUND, sender=b"<a@b.example>", size=100)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (rule("always"), True),
        (rule("one", {"outcome": "infected"}), True),
        (rule("all", {"outcome": "infected", "direction": "outbound"}), False),
        (rule("any", {"outcome": "clean"}, {"direction": "inbound"}), True),
        (rule("unless", {"outcome": "infected"}, unless={"sender": "@b.example"}), False),
        (rule("no unless", {"outcome": "infected"}, unless={"sender": "@c.example", "size_from": 200}), True),
        (rule("either unless", {"outcome": "infected"}, unless={"sender": "@c.example", "size_from": 50}), False),
        (rule("unknown", {"recipient": "@c.example"}), None),
        (rule("unknown, but failed", {"recipient": "@c.example", "size_from": 200}), False),
        (rule("unknown, but met", {"recipient": "@c.example"}, {"size_from": 50}), True),
        (rule("unknown unless", {"size_from": 50}, unless={"tls": True}), None),
        (rule("unknown, but excluded", {"tls": True}, unless={"size_from": 50}), False),
    ],
    ids=lambda one: one.name if isinstance(one, Rule) else "",
)
def test_whether_a_rule_matches(one: Rule, expected: bool | None) -> None:  # noqa: FBT001 - a table
    """All conditions of one table, and none of `unless`."""
    assert one.matches(INFECTED) is expected


def test_the_first_rule_decides() -> None:
    """One that is not enforced is named only if it comes before."""
    rules = Rules(
        (
            rule("not this", {"outcome": "clean"}),
            rule("observed", {"outcome": "infected"}, enforce=False),
            rule("decides", {"outcome": "infected"}),
            rule("too late", enforce=False),
            rule("never"),
        )
    )
    assert rules.decide(INFECTED) == Match(
        rules.rules[2].rest(INFECTED._replace(sender=None, size=None)), ("observed",)
    )
    assert rules.decide(INFECTED._replace(outcome=Outcome.SPAM)).rule == rules.rules[4]
    assert Rules().decide(INFECTED) is NO_MATCH


def test_an_unknown_fact_leaves_the_decision_open() -> None:
    """A rule that may still match keeps the later ones from deciding, unless it is not enforced."""
    unknown, later = rule("unknown", {"tls": True}), rule("later")
    assert first([unknown, later], INFECTED) == Match(None, (), settled=False)
    assert first([rule("unknown", {"tls": True}, enforce=False), later], INFECTED) == Match(later, waiting=True)


# What holds for all rules. Few values of each, so that rules and messages meet.
TABLES = st.fixed_dictionaries(
    {},
    optional={
        "outcome": st.sampled_from(["clean", "infected", "spam", ["infected", "error"]]),
        "direction": st.sampled_from(["inbound", ["outbound", "submission"]]),
        "sender": st.sampled_from(["@b.example", [".example", "<>"]]),
        "recipient": st.sampled_from(["a@b.example", ["@c.example"]]),
        "signature": st.sampled_from(["*", "Heuristics.*"]),
        "tls": st.booleans(),
        "size_from": st.sampled_from([10, 200]),
        "header": st.just({"X-Foo": "*"}),
        "score_from": st.just(5),
        "spam_action": st.sampled_from(["soft reject", ["greylist", "reject"]]),
        "time": st.just("Mon-Fri"),
    },
)
WHEN = st.lists(TABLES, max_size=3)
RULE = st.builds(
    lambda name, when, unless, enforce: rule(str(name), *when, unless=unless, enforce=enforce),
    st.integers(0, 99),
    WHEN,
    TABLES,
    st.booleans(),
)
RULES = st.lists(RULE, max_size=6)
FACTS = st.builds(
    Facts,
    now=st.builds(WeekTime, st.integers(0, 6), st.integers(0, 1439)),
    client=st.just("192.0.2.1"),
    client_name=st.just("c.example"),
    daemon=st.just("MTA"),
    tls=st.booleans(),
    authenticated=st.booleans(),
    user=st.just(""),
    sender=st.sampled_from([b"<a@b.example>", b"<a@c.test>", b"<>", b"\xff"]),
    recipient=st.sampled_from([b"<a@b.example>", b"<x@c.example>"]),
    direction=st.sampled_from(Direction),
    size=st.sampled_from([5, 50, 500]),
    headers=st.sampled_from([HeaderIndex([]), HeaderIndex([(b"X-Foo", b"a")])]),
    outcome=st.sampled_from(Outcome),
    reason=st.just(""),
    engine=st.just("clamd"),
    signature=st.sampled_from(["", "Heuristics.X", "Y"]),
    scores=st.sampled_from([{}, {"rspamd": 7.0}]),
    spam_actions=st.sampled_from([{}, {"rspamd": SpamAction.GREYLIST}]),
)
HIDDEN = st.sets(st.sampled_from(Facts._fields))


def hide(facts: Facts, names: set[str]) -> Facts:
    """The facts as they are before these are known."""
    return facts._replace(**dict.fromkeys(names))


def plain(rules: Sequence[Rule], facts: Facts) -> tuple[str | None, tuple[str, ...]]:
    """The names that `first` finds."""
    match = first(rules, facts)
    assert match.settled
    return match.rule.name if match.rule else None, match.observed


@given(RULES, FACTS)
def test_partitions_decide_as_the_plain_rules_do(rules: list[Rule], facts: Facts) -> None:
    """Deciding is total, and the same twice."""
    match = Rules(tuple(rules)).decide(facts)
    assert match.settled
    assert (match.rule and match.rule.name, match.observed) == plain(rules, facts) == plain(rules, facts)


@given(RULES, FACTS, HIDDEN)
def test_what_is_settled_early_stays(rules: list[Rule], facts: Facts, hidden: set[str]) -> None:
    """A decision while facts are missing is the one that all facts give."""
    early = first(rules, hide(facts, hidden))
    if early.settled:
        assert (early.rule and early.rule.name) == plain(rules, facts)[0]


@given(RULES, FACTS, HIDDEN)
def test_what_is_left_of_rules_decides_as_they_do(rules: list[Rule], facts: Facts, hidden: set[str]) -> None:
    """For any values of the facts that were missing."""
    assert plain(residual(rules, hide(facts, hidden)), facts) == plain(rules, facts)


@given(RULES, FACTS, FACTS)
def test_equal_residuals_decide_alike(rules: list[Rule], one: Facts, other: Facts) -> None:
    """Two recipients of one message, whatever its content turns out to be."""
    about = {"recipient", "sender"}
    facts = [Facts(**{name: getattr(each, name) for name in about}) for each in (one, other)]
    if residual(rules, facts[0]) == residual(rules, facts[1]):
        second = one._replace(**{name: getattr(other, name) for name in about})
        assert plain(rules, one) == plain(rules, second)


@given(WHEN, TABLES, FACTS, st.data())
def test_fewer_conditions_match_more(
    when: list[dict[str, Any]], unless: dict[str, Any], facts: Facts, data: st.DataObject
) -> None:
    """Removing a key from a table of `when`, or from `unless`, adds messages only."""
    fewer = [{**table} for table in when]
    excluded = {**unless}
    keys = [(table, key) for table in (*fewer, excluded) for key in table]
    if not keys:
        return
    table, key = data.draw(st.sampled_from(keys))
    del table[key]
    if rule("before", *when, unless=unless).matches(facts):
        assert rule("after", *fewer, unless=excluded).matches(facts)


@given(RULES, RULES, FACTS)
def test_no_rule_after_the_first_match_counts(rules: list[Rule], more: list[Rule], facts: Facts) -> None:
    """Whatever stands behind it."""
    if first(rules, facts).rule:
        assert first([*rules, *more], facts) == first(rules, facts)


@given(RULES)
def test_the_facts_that_rules_read(rules: list[Rule]) -> None:
    """A fact that no rule reads can be left out."""
    reads = Rules(tuple(rules)).reads
    assert reads <= {*Facts._fields}
    assert all({*one.reads} <= reads for each in rules for table in (*each.when, each.unless) for one in table)
