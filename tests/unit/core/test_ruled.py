"""Rules and policy together: the facts of a message, one decision or one for each recipient, and its traces."""

from typing import Any

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.action import Accept, Decision, Hold, Quarantine, Reject, TempFail
from miltscan.core.early import recipient_class
from miltscan.core.edits import InsertHeader
from miltscan.core.facts import Facts, WeekTime
from miltscan.core.lookup import Check, Source
from miltscan.core.message import Circumstances, Client, Direction, Envelope, Message
from miltscan.core.policy import Policy, decide
from miltscan.core.report import Group
from miltscan.core.ruled import Ruling, Scanned, facts_of, may_accept, rule_on
from miltscan.core.verdict import Advice, Limit, Outcome, SpamAction, Verdict
from miltscan.scanning.assemble import rules_for
from tests.fakes.messages import message, policy

NOW = WeekTime(2, 600)
CLEAN, INFECTED = Verdict.clean("clamd"), Verdict.infected("clamd", "Eicar-Test-Signature")
ENCRYPTED = Verdict.unscanned("clamd", Limit.ENCRYPTED)
THREE = message(envelope=Envelope(b"<s@example.org>", (b"<a@example.test>", b"<b@other.test>", b"<c@example.test>")))


def no_source(_text: str, _check: Check) -> Source:
    """None is named here."""
    raise AssertionError


def ruled(text: str, **fields: Any) -> Policy:  # noqa: ANN401 - any field of a policy
    """A policy with these rules."""
    return policy(rules=rules_for(parse_settings(text.encode(), "f"), no_source, verifies=False), **fields)


def on(chosen: Policy, one: Message = THREE, verdict: Verdict = CLEAN, *others: Verdict) -> Ruling:
    """The ruling on a message."""
    return rule_on(chosen, Scanned(one, verdict, (verdict, *others), NOW))


def test_the_facts_of_a_message() -> None:
    """All but the recipient are known at the end of a message."""
    known = message(
        client=Client("c.example", "192.0.2.1"),
        envelope=Envelope(b"<s@example.org>", (b"<a@example.test>",), authenticated=True),
        circumstances=Circumstances("helo", "alice", "TLSv1.3", "x", "mx", "MSA"),
        headers=[(b"X-Foo", b" bar")],
    )
    score = Verdict.scored("rspamd", "s", 3.5, Advice(SpamAction.GREYLIST, 5.0), spam=False)
    facts = facts_of(Scanned(known, Verdict.unscanned("clamd", Limit.TIMEOUT), (score,), NOW))
    assert facts.headers
    assert facts.headers.values_of(b"x-foo") == [b" bar"]
    assert facts._replace(headers=None) == Facts(
        now=NOW,
        client="192.0.2.1",
        client_name="c.example",
        daemon="MSA",
        tls=True,
        authenticated=True,
        user="alice",
        sender=b"<s@example.org>",
        direction=Direction.SUBMISSION,
        size=100,
        outcome=Outcome.UNSCANNED,
        reason=Limit.TIMEOUT,
        engine="clamd",
        signature="",
        scores={"rspamd": 3.5},
        spam_actions={"rspamd": SpamAction.GREYLIST},
        attachments=(),
        anomalies=frozenset(),
        encrypted=False,
        depth=0,
    )


def test_without_a_match_the_policy_decides() -> None:
    """Its decision is unchanged, header edits included."""
    chosen = ruled('[[rule]]\nname = "r"\nwhen = { sender = "@none.test" }\naction = "reject"')
    assert on(chosen) == Ruling(decide(chosen, THREE, CLEAN, (CLEAN,)))
    assert on(chosen, THREE, INFECTED) == Ruling(decide(chosen, THREE, INFECTED, (INFECTED,)))


@pytest.mark.parametrize(
    ("action", "expected"),
    [("accept", Accept), ("reject", Reject), ("tempfail", TempFail), ("quarantine", Quarantine)],
)
def test_a_rule_names_itself(action: str, expected: type) -> None:
    """Its name is that of the decision; a message that is kept has the headers of the policy."""
    decision = on(ruled(f'[[rule]]\nname = "my rule"\naction = "{action}"'), THREE, INFECTED).decision
    assert isinstance(decision.action, expected)
    assert decision.rule == "my rule"
    marks = [edit.value for edit in decision.edits if isinstance(edit, InsertHeader)]
    assert marks == (["Infected (Eicar-Test-Signature)", "miltscan 1 at mx.example.test"] if action == "accept" else [])


def test_what_is_allowed_was_not_found() -> None:
    """A rule about a signature does not stop what an entry of the allow list lets pass."""
    allowed = Verdict.infected("clamd", "Heuristics.X").allowed_by("7k2m9q4w", complete=True)
    chosen = ruled('[[rule]]\nname = "r"\nwhen = { signature = "*" }\naction = "reject"')
    assert on(chosen, THREE, allowed).decision.rule == "clean"


def test_a_held_message_shows_the_rule() -> None:
    """Its reason stands in the MTA's queue."""
    held = on(ruled('[[rule]]\nname = "at night"\naction = "hold"')).decision.action
    assert held == Hold("miltscan: Clean [at night]")


BY_DOMAIN = """
[[rule]]
name = "watched"
when = { recipient = ".test" }
action = "discard"
enforce = false
[[rule]]
name = "theirs"
when = { recipient = "@other.test" }
action = "quarantine"
"""


def test_recipients_with_different_decisions() -> None:
    """Each is in one group; the decision on the whole is the strictest."""
    ruling = on(ruled(BY_DOMAIN))
    stored = Decision(Quarantine("default"), "theirs")
    clean = decide(policy(), THREE, CLEAN, (CLEAN,))
    assert ruling == Ruling(stored, (Group((0, 2), clean), Group((1,), stored)), ("watched",))


def test_a_placeholder_names_the_recipient_of_a_group() -> None:
    """It is empty only where a decision is for several."""
    rule = '[[rule]]\nname = "r"\nwhen = { recipient = "@other.test" }\naction = "reject"\ntext = "not {recipient}"'
    decision = on(ruled(rule)).groups[1].decision
    assert decision.reply
    assert decision.reply.text == "not <b@other.test> (5AMEkX012345)"


def test_recipients_with_the_same_decision_are_no_groups() -> None:
    """The usual case: one rule for all of them, or none."""
    for recipients in ((b"<a@example.test>", b"<c@example.test>"), (b"<b@other.test>", b"<d@other.test>")):
        one = message(envelope=Envelope(b"<s@example.org>", recipients))
        assert on(ruled(BY_DOMAIN), one).groups == ()


OBSERVED = '[[rule]]\nname = "seen"\nwhen = { recipient = "@other.test" }\naction = "reject"\nenforce = false\n'
ALL = '[[rule]]\nname = "all"\naction = "quarantine"\n'


@pytest.mark.parametrize("others", ["", ALL])
def test_a_rule_about_recipients_is_observed(others: str) -> None:
    """Also where no enforced rule reads the recipient; it makes no groups."""
    chosen = ruled(OBSERVED + others)
    assert (on(chosen).observed, on(chosen).groups) == (("seen",), ())
    assert on(chosen, message(envelope=Envelope(b"<s@example.org>", (b"<a@example.test>",)))).observed == ()


def test_no_score_lets_a_virus_pass() -> None:
    """Infected mail has no score for rules, also if anti-spam engines were asked for another recipient."""
    score = Verdict.scored("rspamd", "", 8.0, Advice(SpamAction.REJECT, 5.0), spam=True)
    for asked in ("score_from = 5", 'spam_action = "reject"'):
        chosen = ruled(f'[[rule]]\nname = "tagged"\nwhen = {{ {asked} }}\naction = "accept"\ntag = "[SPAM]"\n')
        assert on(chosen, THREE, INFECTED, score).decision.rule == "policy.on_infected"


def test_a_message_without_recipients_is_decided() -> None:
    """No MTA sends one, and a decision never raises: rules about recipients do not match."""
    nobody = message(envelope=Envelope(b"<s@example.org>"))
    assert on(ruled(OBSERVED.replace("false", "true")), nobody).decision.rule == "clean"


@pytest.mark.parametrize(
    ("rules", "verdict", "asked"),
    [
        ("", CLEAN, True),
        ("", INFECTED, False),
        ('[[rule]]\nname = "r"\naction = "reject"', CLEAN, False),
        ('[[rule]]\nname = "r"\naction = "accept"', INFECTED, True),
        ('[[rule]]\nname = "r"\naction = "copy"\nto = ["a@b.test"]', CLEAN, True),
        ('[[rule]]\nname = "r"\naction = "redirect"\nto = ["a@b.test"]', CLEAN, True),
        ('[[rule]]\nname = "r"\naction = "hold"', CLEAN, False),
        ('[[rule]]\nname = "r"\nwhen = { outcome = "clean" }\naction = "reject"', CLEAN, True),
        ('[[rule]]\nname = "r"\nwhen = { outcome = "infected" }\naction = "accept"', INFECTED, True),
        ('[[rule]]\nname = "r"\nwhen = { score_from = 5 }\naction = "reject"', CLEAN, True),
        ('[[rule]]\nname = "r"\nwhen = { spam_action = "greylist" }\naction = "tempfail"', CLEAN, True),
        ('[[rule]]\nname = "r"\nwhen = { spam_action = "greylist" }\naction = "accept"', INFECTED, False),
        ('[[rule]]\nname = "r"\nwhen = { score_from = 5 }\naction = "accept"', INFECTED, False),
        ('[[rule]]\nname = "r"\nwhen = { score_from = 5 }\naction = "accept"', ENCRYPTED, False),
        ('[[rule]]\nname = "r"\nwhen = { score_from = 5 }\naction = "accept"', CLEAN, True),
        ('[[rule]]\nname = "r"\nwhen = { recipient = "@other.test" }\naction = "accept"', INFECTED, True),
        ('[[rule]]\nname = "r"\nwhen = { recipient = "@none.test" }\naction = "accept"', INFECTED, False),
        ('[[rule]]\nname = "r"\nwhen = { recipient = "@other.test", tls = true }\naction = "accept"', INFECTED, False),
        ('[[rule]]\nname = "r"\nwhen = { sender = "@none.test" }\naction = "accept"', INFECTED, False),
    ],
)
def test_whether_anti_spam_engines_are_asked(rules: str, verdict: Verdict, asked: bool) -> None:  # noqa: FBT001 - a table
    """Where the message might be accepted in the end."""
    assert may_accept(ruled(rules), Scanned(THREE, verdict, (verdict,), NOW)) is asked


def test_anti_spam_engines_are_asked_for_those_who_may_receive_the_message() -> None:
    """Not for the other recipients of the lists' standing."""
    chosen = ruled('[[rule]]\nname = "r"\nwhen = { recipient = "@other.test" }\naction = "accept"')
    asked = [may_accept(chosen, Scanned(THREE, INFECTED, (INFECTED,), NOW), audience) for audience in ((0, 2), (1,))]
    assert asked == [False, True]


def classes(chosen: Policy, *recipients: bytes) -> list[object]:
    """The class of each recipient."""
    return [recipient_class(chosen.rules, message(envelope=Envelope(b"<s@example.org>", (one,)))) for one in recipients]


def test_recipients_of_one_class_are_decided_alike() -> None:
    """Whatever follows: a rule that cannot match this sender, or is not enforced, makes no class."""
    chosen = ruled(
        """
        [[rule]]
        name = "infected, for some"
        when = { outcome = "infected", recipient = "@example.test" }
        action = "accept"
        [[rule]]
        name = "other senders"
        when = { sender = "@elsewhere.example", recipient = "b@other.test" }
        action = "hold"
        [[rule]]
        name = "only observed"
        when = { recipient = "b@other.test" }
        action = "reject"
        enforce = false
        """
    )
    a, b, c, d = classes(chosen, b"<a@example.test>", b"<c@EXAMPLE.test>", b"<b@other.test>", b"<d@third.test>")
    assert (a == b, c == d, a == c) == (True, True, False)
    for verdict in (CLEAN, INFECTED):
        two = message(envelope=Envelope(b"<s@example.org>", (b"<a@example.test>", b"<c@example.test>")))
        assert on(chosen, two, verdict).groups == ()
