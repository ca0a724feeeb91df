"""Decisions: every outcome with every action, the replies, and the header edits."""

import re
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.action import Accept, ActionName, Choice, Decision, Discard, Hold, Quarantine, Reply, TempFail
from miltscan.core.edits import InsertHeader, RemoveHeader
from miltscan.core.message import Message
from miltscan.core.policy import (
    MISSING_HEADER,
    SCANNED_HEADER,
    STATUS_HEADER,
    Policy,
    connection_lost,
    decide,
    failed,
    not_kept,
)
from miltscan.core.reply_text import status
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, missing, worst
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

RECEIVED = {ActionName.ACCEPT, ActionName.HOLD, ActionName.REDIRECT, ActionName.COPY}


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
    """Every outcome with every action: the action is the policy's, and the status is never Clean."""
    decisions = [(decide(_always(name), message(), verdict), name) for verdict, name in product(VERDICTS, ActionName)]
    wrong = [
        (name, decision)
        for decision, name in decisions
        if decision.action.name is not name
        or (decision.reply is not None) != (name in {ActionName.TEMPFAIL, ActionName.REJECT})
        or (STATUS_HEADER in _headers(decision)) != (name in RECEIVED)
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
            Verdict.unscanned("session", Limit.TOO_LARGE, "9 bytes, at most 5 are accepted"),
            Reply(552, "5.3.4", "Message too large: 9 bytes, at most 5 are accepted (Q)"),
        ),
        (
            Verdict.unscanned("clamd", Limit.ENCRYPTED),
            Reply(550, "5.7.1", "Message not scanned: its content is encrypted (Q)"),
        ),
        (Verdict.error("clamd", Fault.GARBLED, "secret"), Reply(550, "5.7.1", "Message not scanned (garbled) (Q)")),
    ],
)
def test_refusals(verdict: Verdict, expected: Reply) -> None:
    """The client receives the reason; the detail is only for the log."""
    assert decide(_always(ActionName.REJECT), message(queue_id="Q"), verdict).reply == expected


def test_a_queue_id_in_a_reply_is_bounded() -> None:
    """A queue ID is at most 64 characters of a reply: a reply is one line that every client can read."""
    reply = decide(policy(), message(queue_id="Q" * 65), Verdict.infected("clamd", "Eicar")).reply
    assert reply == Reply(550, "5.7.1", f"Virus found: Eicar ({'Q' * 64})")


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
    """The decision names the rule that made it."""
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


def test_a_message_that_was_not_stored_is_a_tempfail() -> None:
    """The client keeps what the quarantine could not store."""
    reply = Reply(451, "4.3.0", "Message could not be stored, try again later (Q)")
    assert not_kept("Q") == Decision(TempFail(reply), "quarantine")


def test_a_decision_that_the_mta_never_received_is_a_tempfail() -> None:
    """The client keeps the mail of a connection that was lost."""
    lost = TempFail(Reply(451, "4.4.2", "Connection to the MTA lost (Q)"))
    assert connection_lost("Q") == Decision(lost, "mta-gone")


def test_the_area_is_part_of_the_action() -> None:
    """A message is quarantined in the area of the choice; a discarded one leaves a copy only where an area is named."""
    infected = Verdict.infected("clamd", "Eicar")
    actions = [
        decide(policy(on_infected=choice), message(), infected).action
        for choice in (
            Choice(ActionName.QUARANTINE, "viruses"),
            Choice(ActionName.QUARANTINE),
            Choice(ActionName.DISCARD, "viruses"),
            Choice(ActionName.DISCARD),
        )
    ]
    assert actions == [Quarantine("viruses"), Quarantine("default"), Discard("viruses"), Discard()]


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
    """The value of X-Virus-Status; a signature cannot begin another header."""
    assert status(verdict) == expected


def test_forged_headers_are_removed_from_the_last() -> None:
    """Each index is still right when its turn comes, names count without case, and ours come on top at the end."""
    names = (
        b"X-Virus-Status",
        b"Subject",
        b"x-virus-status",
        b"X-VIRUS-SCANNED",
        b"X-Virus-Status",
        b"X-Viru",
        b"X-Zip",
        b"x-miltscan-receipt",
    )
    headers = [(name, b" Clean") for name in names]
    forged = (
        RemoveHeader("x-miltscan-receipt", 1),
        RemoveHeader("X-Virus-Status", 3),
        RemoveHeader("X-VIRUS-SCANNED", 1),
        RemoveHeader("x-virus-status", 2),
        RemoveHeader("X-Virus-Status", 1),
    )
    assert decide(policy(), message(headers=headers), Verdict.clean("clamd")).edits == (*forged, *OURS)


def test_only_foreign_headers_are_removed() -> None:
    """Without headers of ours the sender's own X-Virus-* stay, and what else the policy names is removed."""
    headers = [(b"X-Virus-Status", b" Clean"), (b"X-Miltscan-Released", b" 1")]
    unmarked = policy(scanned_by=None, foreign=(b"x-miltscan-",))
    removed = (RemoveHeader("X-Miltscan-Released", 1),)
    assert decide(unmarked, message(headers=headers), Verdict.clean("clamd")).edits == removed


CLEAN = Verdict.clean("clamd")
DOWN = Verdict.unscanned("second", Limit.NO_ENGINE)
LARGE = Verdict.unscanned("second", Limit.TOO_LARGE)
OTHER_DOWN = Verdict.error("third", Fault.CONNECT)
INFECTED = Verdict.infected("clamd", "Eicar")


def _second(name: ActionName, **more: ActionName) -> Policy:
    """A policy with two optional engines: `name` is the action when the second one fails."""
    return policy(optional=frozenset({"second", "third"}), on_engine_error={"second": name, **more})


@pytest.mark.parametrize(
    ("verdict", "absent", "mark"),
    [
        (CLEAN, [DOWN], "second (no-engine)"),
        (CLEAN, [LARGE], "second (too-large)"),
        (CLEAN, [DOWN, OTHER_DOWN], "second (no-engine), third (connect)"),
        (CLEAN, [Verdict("second", Outcome.ERROR)], "second (error)"),
    ],
)
def test_a_message_without_an_optional_engine_is_marked(verdict: Verdict, absent: list[Verdict], mark: str) -> None:
    """It is accepted and stays clean by the required engines; a header names what is missing, on top of the others."""
    decision = decide(_second(ActionName.ACCEPT), message(), verdict, absent)
    assert decision == Decision(Accept(), "clean", (*OURS, InsertHeader(MISSING_HEADER, mark)))


def test_a_mark_is_an_edit_like_all_others() -> None:
    """Without our headers no header is added, and forged ones are removed."""
    unmarked = replace(_second(ActionName.ACCEPT), scanned_by=None)
    assert decide(unmarked, message(), CLEAN, [DOWN]) == Decision(Accept(), "clean")
    forged = message(headers=[(b"x-virus-unscanned-by", b" nothing")])
    edits = decide(_second(ActionName.ACCEPT), forged, CLEAN, [DOWN]).edits
    assert edits[0] == RemoveHeader("x-virus-unscanned-by", 1)
    assert edits[-1] == InsertHeader(MISSING_HEADER, "second (no-engine)")


@pytest.mark.parametrize("name", ActionName)
def test_an_optional_engine_has_its_own_on_error(name: ActionName) -> None:
    """The rule names the engine and the reply its reason; by default the message is accepted."""
    decision = decide(_second(name), message(queue_id="Q"), CLEAN, [OTHER_DOWN, DOWN])
    assert decision.action.name is name
    assert decision.rule == ("clean" if name is ActionName.ACCEPT else "engine.second.on_error")
    if name is ActionName.TEMPFAIL:
        text = "Message not scanned: no engine is available, try again later (Q)"
        assert decision.reply == Reply(451, "4.7.1", text)


@pytest.mark.parametrize("limit", [Limit.TOO_LARGE, Limit.LIMITS, Limit.ENCRYPTED])
def test_a_message_that_an_optional_engine_cannot_scan_is_no_failure_of_it(limit: Limit) -> None:
    """Sending it again would not change it, so it is accepted."""
    unscanned = Verdict.unscanned("second", limit)
    assert decide(_second(ActionName.TEMPFAIL), message(), CLEAN, [unscanned]).action == Accept()


@pytest.mark.parametrize(
    ("verdict", "rule"),
    [
        (INFECTED, "policy.on_infected"),
        (Verdict.error("clamd", Fault.CLOSED), "policy.on_error"),
        (Verdict.unscanned("clamd", Limit.ENCRYPTED), "policy.on_unscanned.encrypted"),
    ],
)
def test_a_failure_more_never_makes_the_answer_milder(verdict: Verdict, rule: str) -> None:
    """What required engines keep out stays out for their reason; what they let in the optional engine may stop."""
    second = _second(ActionName.TEMPFAIL)
    refuses, accepts = Choice(ActionName.REJECT), Choice(ActionName.ACCEPT)
    kept_out = replace(second, on_infected=refuses, on_unscanned=dict.fromkeys(Limit, refuses))
    assert decide(kept_out, message(), verdict, [DOWN]).rule == rule
    let_in = replace(second, on_infected=accepts, on_error=accepts, on_unscanned=dict.fromkeys(Limit, accepts))
    assert decide(let_in, message(), verdict).action == Accept()
    assert decide(let_in, message(), verdict, [DOWN]).rule == "engine.second.on_error"


def test_a_required_engine_may_have_its_own_on_error() -> None:
    """It replaces that of the policy for this engine alone, and for errors alone."""
    own = policy(on_error=ActionName.TEMPFAIL, on_engine_error={"third": ActionName.REJECT})
    assert decide(own, message(), OTHER_DOWN).rule == "engine.third.on_error"
    assert decide(own, message(), OTHER_DOWN).action.name is ActionName.REJECT
    assert decide(own, message(), Verdict.error("clamd", Fault.CLOSED)).rule == "policy.on_error"
    assert decide(own, message(), Verdict.unscanned("third", Limit.TIMEOUT)).rule == "policy.on_unscanned.timeout"


any_engine = st.sampled_from(["a", "b", "c"]) | st.text()
any_verdict = st.builds(
    Verdict,
    engine=any_engine,
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
    optional=st.frozensets(any_engine),
    on_engine_error=st.dictionaries(any_engine, any_action),
)


def decided(policy: Policy, message: Message, verdicts: list[Verdict]) -> Decision:
    """As the pipeline decides."""
    return decide(policy, message, worst(verdicts, policy.optional), verdicts)


@given(any_policy, any_message, st.lists(any_verdict))
def test_decide_is_total(policy: Policy, message: Message, verdicts: list[Verdict]) -> None:
    """There is a decision for any verdict; its reply is one line that a protocol can carry (RFC 5321 4.5.3.1.5)."""
    decision = decided(policy, message, verdicts)
    if decision.reply:
        assert REPLY.fullmatch(str(decision.reply))
        assert len(str(decision.reply)) <= 510
    for value in _headers(decision).values():
        assert re.fullmatch("[ -~]*", value)


@given(any_policy, any_message, st.lists(any_verdict))
def test_only_clean_is_marked_clean(policy: Policy, message: Message, verdicts: list[Verdict]) -> None:
    """No required engine has looked, or one has found or missed something: the mail carries no Clean of any kind."""
    required = [one for one in verdicts if one.engine not in policy.optional]
    infected = any(one.outcome is Outcome.INFECTED for one in verdicts)
    spam = any(one.outcome is Outcome.SPAM for one in verdicts)
    scanned = bool(required) and all(one.outcome in {Outcome.CLEAN, Outcome.SPAM} for one in required) and not infected
    clean = scanned and not spam
    decision = decided(policy, message, verdicts)
    assert clean or decision.rule != "clean"
    if clean and not missing(verdicts, policy.optional):
        assert decision.rule == "clean"
    if not scanned:
        assert _headers(decision).get(STATUS_HEADER) != "Clean"
    if decision.edits:
        assert sum(isinstance(edit, RemoveHeader) for edit in decision.edits) == sum(
            header[0].lower().startswith(b"x-virus-") for header in message.headers
        )


def test_a_verdict_more_never_lets_a_message_in() -> None:
    """What one engine keeps out stays out, whatever another one says and whichever of the two is asked first."""
    said = [
        partial(Verdict.clean, server=""),
        partial(Verdict.infected, signature="Eicar"),
        partial(Verdict.error, fault=Fault.CLOSED),
        *(partial(Verdict.unscanned, limit=limit) for limit in Limit),
    ]
    two = (ActionName.ACCEPT, ActionName.TEMPFAIL)
    let_in = []
    for infected, error, no_engine, other, own, optional in product(two, two, two, two, (None, *two), ("", "b")):
        mixed = policy(
            on_infected=infected,
            on_error=error,
            on_unscanned=dict.fromkeys(Limit, other) | {Limit.NO_ENGINE: no_engine},
            optional=frozenset(optional),
            on_engine_error={"b": own} if own else {},
        )
        for first, second in product([make("a") for make in said], [make("b") for make in said]):
            alone = [[first], *([] if optional else [[second]])]
            if any(not isinstance(decided(mixed, message(), one).action, Accept) for one in alone):
                both = [decided(mixed, message(), order) for order in ([first, second], [second, first])]
                let_in += [(mixed, first, second) for one in both if isinstance(one.action, Accept)]
    assert let_in == []
