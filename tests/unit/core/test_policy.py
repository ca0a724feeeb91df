"""Decisions: every outcome with every action, the replies, and the header edits."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.action import (
    Accept,
    ActionName,
    Decision,
    Hold,
    InsertHeader,
    RemoveHeader,
    Reply,
    TempFail,
)
from miltscan.core.message import Message
from miltscan.core.policy import SCANNED_HEADER, STATUS_HEADER, Policy, decide, failed, status
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, worst
from tests.fakes.messages import message, policy

VERDICTS = [
    Verdict.infected("clamd", "Eicar-Test-Signature"),
    *(Verdict.error("clamd", fault) for fault in Fault),
    *(Verdict.unscanned("clamd", limit) for limit in Limit),
]
REPLY = re.compile(r"(?:451 4\.[37]\.[01]|550 5\.7\.1|552 5\.3\.4) [ -~]+")
OURS = (
    InsertHeader(STATUS_HEADER, "Clean"),
    InsertHeader(SCANNED_HEADER, "miltscan 1 at mx.example.test"),
)


def _always(name: ActionName) -> Policy:
    """A policy of one action for all that is not clean."""
    return policy(on_infected=name, on_error=name, on_unscanned=dict.fromkeys(Limit, name))


def _headers(decision: Decision) -> dict[str, str]:
    return {edit.name: edit.value for edit in decision.edits if isinstance(edit, InsertHeader)}


@pytest.mark.parametrize("name", ActionName)
def test_clean_is_accepted_whatever_the_policy(name: ActionName) -> None:
    """No choice of an administrator concerns clean mail."""
    decision = decide(_always(name), message(), Verdict.clean("clamd"))
    assert decision == Decision(Accept(), "clean", OURS)


def test_policy_names_the_action() -> None:
    """Every outcome with every action: the action is the policy's, and the status never says Clean."""
    decisions = [(decide(_always(name), message(), verdict), name) for verdict, name in product(VERDICTS, ActionName)]
    wrong = [
        (name, decision)
        for decision, name in decisions
        if decision.action.name is not name
        or (decision.reply is not None) != (name in {ActionName.TEMPFAIL, ActionName.REJECT})
        or (STATUS_HEADER in _headers(decision)) != (name in {ActionName.ACCEPT, ActionName.HOLD})
        or _headers(decision).get(STATUS_HEADER) == "Clean"
    ]
    assert wrong == []


def test_reply_fits_its_action() -> None:
    """The class of the reply is that of the action, or the MTA drops the text; the queue ID stands in it."""
    classes = {ActionName.TEMPFAIL: "4", ActionName.REJECT: "5"}
    replies = [(name, decide(_always(name), message(), verdict).reply) for verdict in VERDICTS for name in classes]
    wrong = [
        (name, reply)
        for name, reply in replies
        if not reply
        or not REPLY.fullmatch(str(reply))
        or {str(reply.code)[0], reply.status[0]} != {classes[name]}
        or not reply.text.endswith(" (5AMEkX012345)")
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.infected("clamd", "Eicar"), Reply(550, "5.7.1", "Virus found: Eicar (Q)")),
        (Verdict.infected("clamd", ""), Reply(550, "5.7.1", "Virus found: unnamed (Q)")),
        (
            Verdict.unscanned("session", Limit.TOO_LARGE, "9 bytes, at most 5 are taken"),
            Reply(552, "5.3.4", "Message too large: 9 bytes, at most 5 are taken (Q)"),
        ),
        (
            Verdict.unscanned("clamd", Limit.ENCRYPTED),
            Reply(550, "5.7.1", "Message not scanned: its content is encrypted (Q)"),
        ),
        (Verdict.error("clamd", Fault.GARBLED, "secret"), Reply(550, "5.7.1", "Message not scanned (garbled) (Q)")),
    ],
)
def test_refusals(verdict: Verdict, expected: Reply) -> None:
    """What the client hears; what is for the log alone stays there."""
    assert decide(_always(ActionName.REJECT), message(queue_id="Q"), verdict).reply == expected


def test_reply_without_queue_id() -> None:
    """A message without a queue ID has no empty parentheses."""
    reply = decide(policy(), message(queue_id=""), Verdict.infected("clamd", "Eicar")).reply
    assert reply == Reply(550, "5.7.1", "Virus found: Eicar")


@pytest.mark.parametrize(
    ("verdict", "rule"),
    [
        (Verdict.clean("clamd"), "clean"),
        (Verdict.infected("clamd", "Eicar"), "policy.on_infected"),
        (Verdict.error("clamd", Fault.CLOSED), "policy.on_error"),
        *((Verdict.unscanned("clamd", limit), f"policy.on_unscanned.{limit}") for limit in Limit),
    ],
)
def test_rule_is_named(verdict: Verdict, rule: str) -> None:
    """The decision says which rule made it."""
    assert decide(policy(), message(), verdict).rule == rule


@pytest.mark.parametrize("limit", Limit)
def test_limit_without_a_choice_is_a_tempfail(limit: Limit) -> None:
    """A policy that forgets a limit does not let it pass."""
    decision = decide(policy(on_unscanned={}), message(), Verdict.unscanned("clamd", limit))
    assert isinstance(decision.action, TempFail)


def test_unscanned_without_a_limit_is_no_engine() -> None:
    """A verdict that names no limit is not accepted by the choice for another one."""
    accept_all_else = {limit: ActionName.ACCEPT for limit in Limit if limit is not Limit.NO_ENGINE}
    decision = decide(policy(on_unscanned=accept_all_else), message(), Verdict("clamd", Outcome.UNSCANNED))
    assert decision.rule == "policy.on_unscanned.no-engine"
    assert isinstance(decision.action, TempFail)


def test_no_verdict_is_a_tempfail() -> None:
    """A service without an engine accepts nothing."""
    assert isinstance(decide(policy(), message(), worst([])).action, TempFail)


def test_failed_is_a_tempfail() -> None:
    """What our own code could not do is never the sender's fault."""
    assert failed("Q") == Decision(TempFail(Reply(451, "4.3.0", "Internal error, try again later (Q)")), "exception")


def test_hold_says_why() -> None:
    """The reason that `mailq` shows."""
    decision = decide(_always(ActionName.HOLD), message(), Verdict.infected("clamd", "Eicar"))
    assert decision.action == Hold("miltscan: Infected (Eicar)")


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.clean("clamd"), "Clean"),
        (Verdict.infected("clamd", "Win.Test\r\nX-Evil: 1"), "Infected (Win.Test??X-Evil: 1)"),
        (Verdict.infected("clamd", ""), "Infected (unnamed)"),
        (Verdict.unscanned("clamd", Limit.TOO_LARGE), "Unscanned (too-large)"),
        (Verdict.error("clamd", Fault.CONNECT), "Unscanned (connect)"),
        (Verdict("clamd", Outcome.ERROR), "Unscanned (error)"),
    ],
)
def test_status(verdict: Verdict, expected: str) -> None:
    """The value of X-Virus-Status; a signature cannot begin a header of its own."""
    assert status(verdict) == expected


def test_forged_headers_are_removed_from_the_last() -> None:
    """Each index is still right when its turn comes, names count without case, and ours come on top at the end."""
    names = (b"X-Virus-Status", b"Subject", b"x-virus-status", b"X-VIRUS-SCANNED", b"X-Virus-Status", b"X-Viru")
    headers = [(name, b" Clean") for name in names]
    forged = (
        RemoveHeader("X-Virus-Status", 3),
        RemoveHeader("X-VIRUS-SCANNED", 1),
        RemoveHeader("x-virus-status", 2),
        RemoveHeader("X-Virus-Status", 1),
    )
    assert decide(policy(), message(headers=headers), Verdict.clean("clamd")).edits == (*forged, *OURS)


def test_mode_none_edits_nothing() -> None:
    """Without headers of ours nothing of the sender's is touched."""
    headers = [(b"X-Virus-Status", b" Clean")]
    assert decide(policy(scanned_by=None), message(headers=headers), Verdict.clean("clamd")).edits == ()


any_verdict = st.builds(
    Verdict,
    engine=st.text(),
    outcome=st.sampled_from(Outcome),
    signature=st.none() | st.text(),
    reason=st.none() | st.sampled_from([*Limit, *Fault]),
    detail=st.text(),
)
any_name = st.binary() | st.binary().map(b"X-Virus-".__add__)
any_message = st.builds(
    message, queue_id=st.text(), message_id=st.binary(), headers=st.lists(st.tuples(any_name, st.binary()))
)
any_action = st.sampled_from(ActionName)
any_policy = st.builds(
    policy,
    on_infected=any_action,
    on_error=any_action,
    on_unscanned=st.dictionaries(st.sampled_from(Limit), any_action),
    scanned_by=st.none() | st.just("miltscan"),
)


@given(any_policy, any_message, st.lists(any_verdict))
def test_decide_is_total(policy: Policy, message: Message, verdicts: list[Verdict]) -> None:
    """Whatever comes, there is a decision; its reply is one line that a protocol can carry (RFC 5321 4.5.3.1.5)."""
    decision = decide(policy, message, worst(verdicts))
    if decision.reply:
        assert REPLY.fullmatch(str(decision.reply))
        assert len(str(decision.reply)) <= 510
    for value in _headers(decision).values():
        assert re.fullmatch("[ -~]*", value)


@given(any_policy, any_message, st.lists(any_verdict))
def test_only_clean_is_marked_clean(policy: Policy, message: Message, verdicts: list[Verdict]) -> None:
    """One verdict that is not clean, or none at all, and the mail carries no Clean of ours nor of the sender's."""
    clean = bool(verdicts) and all(verdict.outcome is Outcome.CLEAN for verdict in verdicts)
    decision = decide(policy, message, worst(verdicts))
    assert (decision.rule == "clean") == clean
    if not clean:
        assert _headers(decision).get(STATUS_HEADER) != "Clean"
    if decision.edits:
        assert sum(isinstance(edit, RemoveHeader) for edit in decision.edits) == sum(
            header[0].lower().startswith(b"x-virus-") for header in message.headers
        )
