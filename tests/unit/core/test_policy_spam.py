"""Decisions on spam: which verdict decides, which headers users find, and what an engine proposes in vain."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from miltscan.core.action import Accept, ActionName, Choice, Hold, Reject, TempFail
from miltscan.core.edits import InsertHeader, RemoveHeader
from miltscan.core.message import Client, Envelope, Message
from miltscan.core.policy import Policy, decide
from miltscan.core.verdict import Advice, Fault, Limit, Outcome, SpamAction, Verdict, worst
from tests.fakes.messages import NoContent

POLICY = Policy(
    on_infected=Choice(ActionName.REJECT),
    on_error=Choice(ActionName.TEMPFAIL),
    on_unscanned={limit: Choice(ActionName.TEMPFAIL) for limit in Limit},
    scanned_by="miltscan",
    foreign=(b"x-virus-", b"x-spam-"),
    optional=frozenset({"rspamd", "spamd"}),
    on_engine_error={name: Choice(ActionName.ACCEPT) for name in ("rspamd", "spamd")},
    filters=frozenset({"rspamd", "spamd"}),
)
CLEAN = Verdict.clean("clamd", "s")
MESSAGE = Message(Client("c", "192.0.2.1"), Envelope(b"<a@b>"), "Q", b"", ((b"X-Spam-Flag", b" NO"),), 1, NoContent())


def scored(engine: str, score: float, *, spam: bool, advice: Advice | None = None) -> Verdict:
    """An opinion of an anti-spam engine."""
    return Verdict.scored(engine, "s", score, advice or Advice(SpamAction.NONE, 5.0, ("A", "B")), spam=spam)


SPAM = scored("rspamd", 8.0, spam=True)
HAM = scored("rspamd", 1.0, spam=False)
FAILED = Verdict.error("spamd", Fault.CLOSED)


def headers(policy: Policy, *verdicts: Verdict) -> dict[str, str]:
    """The fields that are added to a message with these verdicts."""
    decision = decide(policy, MESSAGE, worst(verdicts, policy.optional), verdicts)
    assert isinstance(decision.action, Accept), decision
    assert decision.edits[0] == RemoveHeader("X-Spam-Flag", 1)
    return {edit.name: edit.value for edit in decision.edits if isinstance(edit, InsertHeader)}


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([CLEAN, SPAM], Outcome.SPAM),
        ([CLEAN, HAM], Outcome.CLEAN),
        ([CLEAN, FAILED], Outcome.CLEAN),
        ([CLEAN, FAILED, SPAM], Outcome.SPAM),
        ([Verdict.infected("clamd", "X"), SPAM], Outcome.INFECTED),
        ([Verdict.error("clamd", Fault.CLOSED), SPAM], Outcome.ERROR),
        ([Verdict.unscanned("clamd", Limit.ENCRYPTED), SPAM], Outcome.UNSCANNED),
        ([SPAM], Outcome.UNSCANNED),
        ([], Outcome.UNSCANNED),
    ],
)
def test_the_most_severe_verdict_decides(verdicts: Sequence[Verdict], outcome: Outcome) -> None:
    """Infected, error and unscanned of required engines, spam, clean; spam alone does not show that a mail is clean."""
    assert worst(verdicts, POLICY.optional).outcome is outcome


def test_headers_on_which_users_filter() -> None:
    """As SpamAssassin writes them; spam is free of viruses."""
    assert headers(POLICY, CLEAN, SPAM) == {
        "X-Virus-Status": "Clean",
        "X-Virus-Scanned": "miltscan",
        "X-Spam-Level": "********",
        "X-Spam-Score": "8.0",
        "X-Spam-Status": "Yes, score=8.0 required=5.0 tests=A,B engine=rspamd",
        "X-Spam-Flag": "YES",
    }
    ham = headers(POLICY, CLEAN, scored("spamd", -0.5, spam=False, advice=Advice(SpamAction.NONE, 5.0)))
    assert ham["X-Spam-Status"] == "No, score=-0.5 required=5.0 tests=none engine=spamd"
    assert {"X-Spam-Flag", "X-Spam-Level"}.isdisjoint(ham)


def test_the_most_severe_opinion_is_shown() -> None:
    """Spam before a failure before another score; of equals the highest."""
    assert headers(POLICY, CLEAN, SPAM, FAILED)["X-Spam-Flag"] == "YES"
    assert headers(POLICY, CLEAN, HAM, FAILED)["X-Spam-Status"] == "Unscanned (closed)"
    assert headers(POLICY, CLEAN, HAM, scored("spamd", 2.0, spam=False))["X-Spam-Score"] == "2.0"
    assert len(headers(POLICY, CLEAN, scored("spamd", 1e6, spam=True))["X-Spam-Level"]) == 50


def test_a_message_that_no_engine_was_asked_about_has_no_opinion() -> None:
    """The sender's own fields are removed all the same."""
    assert set(headers(POLICY, CLEAN)) == {"X-Virus-Status", "X-Virus-Scanned"}


def test_no_header_is_added_where_the_site_wants_none() -> None:
    """With headers.mode = "none"."""
    decision = decide(replace(POLICY, scanned_by=None, foreign=()), MESSAGE, SPAM, (CLEAN, SPAM))
    assert decision.edits == ()


def test_spam_is_stopped_by_choice() -> None:
    """What the engine proposes is a fact; its text is used only where it was kept."""
    rejecting = replace(POLICY, on_spam=Choice(ActionName.REJECT))
    decision = decide(rejecting, MESSAGE, SPAM, (CLEAN, SPAM))
    assert isinstance(decision.action, Reject)
    assert (str(decision.reply), decision.rule) == ("550 5.7.1 Message detected as spam (Q)", "policy.on_spam")
    advised = scored("rspamd", 20.0, spam=True, advice=Advice(SpamAction.REJECT, 15.0, (), (), "Gtube pattern"))
    assert isinstance(decide(POLICY, MESSAGE, advised, (CLEAN, advised)).action, Accept)
    assert str(decide(rejecting, MESSAGE, advised, (CLEAN, advised)).reply) == "550 5.7.1 Gtube pattern (Q)"
    holding = replace(POLICY, on_spam=Choice(ActionName.HOLD))
    held = decide(holding, MESSAGE, SPAM, (CLEAN, SPAM))
    assert held.action == Hold("miltscan: Message detected as spam")
    encrypted = Verdict.unscanned("clamd", Limit.ENCRYPTED)
    lenient = replace(rejecting, on_unscanned={Limit.ENCRYPTED: Choice(ActionName.ACCEPT)})
    assert isinstance(decide(lenient, MESSAGE, encrypted, (encrypted, SPAM)).action, Reject)


def test_a_failure_stops_mail_only_by_choice() -> None:
    """By the engine's own on_error."""
    strict = replace(POLICY, on_engine_error={"spamd": Choice(ActionName.TEMPFAIL)})
    decision = decide(strict, MESSAGE, CLEAN, (CLEAN, FAILED))
    assert isinstance(decision.action, TempFail)
    assert decision.rule == "engine.spamd.on_error"


def test_what_engines_edit_comes_with_ours() -> None:
    """Each removal once, and below our own fields."""
    edits = (RemoveHeader("X-Spam-Flag", 1), RemoveHeader("X-Spam-Flag", 1), InsertHeader("X-Spamd-Bar", "+"))
    advised = scored("rspamd", 1.0, spam=False, advice=Advice(SpamAction.NO_ACTION, 5.0, (), edits))
    decision = decide(POLICY, MESSAGE, CLEAN, (CLEAN, advised))
    assert decision.edits[:2] == (RemoveHeader("X-Spam-Flag", 1), InsertHeader("X-Spamd-Bar", "+"))
