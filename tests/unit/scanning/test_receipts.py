"""The two pipelines around the pipeline: an error in them costs a scan, never a message and never a verdict."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from miltscan.core.action import Accept, ActionName, Copy, Decision, Hold, Redirect, Reject, Reply
from miltscan.core.edits import Header, InsertHeader, RemoveHeader, edited
from miltscan.core.keys import Key
from miltscan.core.message import PREFACE, Message
from miltscan.core.receipt import RECEIPT_HEADER, AcceptedBy, Claim, ReceiptResult, sign_receipt, verify_receipt
from miltscan.core.report import Group, Report, Timed
from miltscan.core.session import head, too_large
from miltscan.core.verdict import Advice, Fault, Limit, Outcome, SpamAction, Verdict
from miltscan.scanning.pipeline import Pipeline, scan_slots
from miltscan.scanning.receipts import Signing, Verifying, body_digest
from miltscan.scanning.spool import Spool
from tests.fakes.engine import ScriptedEngine
from tests.fakes.messages import message, policy

KEYS = (Key("k", b"k" * 32),)
OTHER_KEYS = (Key("other", b"o" * 32),)
HEADERS: tuple[Header, ...] = ((b"Subject", b" x"), (b"X-Fold", b" a\n b"))
INFECTED = Verdict.infected("fake", "Eicar")
CLEAN = Verdict.clean("fake")


@pytest.fixture
def spool() -> Iterator[Spool]:
    """A small message."""
    kept = Spool(Path(), 1 << 20)
    kept.write(head([*HEADERS]) + b"hello\r\n")
    yield kept
    kept.close()


def pipeline(engine: ScriptedEngine) -> Pipeline:
    """The one that is wrapped."""
    return Pipeline([engine], policy(), scan_slots(1), 60.0, 0.0)


def nothing() -> None:
    """No sign of life."""


def raised(error: Exception) -> None:
    """An error that is not expected."""
    raise error


def whole(spool: Spool, *more: Header) -> Message:
    """The message in the spool, with headers above its own that do not count."""
    return message(headers=(*more, *HEADERS), content=spool, size=spool.size - len(PREFACE))


def signed(spool: Spool, failed: list[Exception], verdict: Verdict = CLEAN) -> Report:
    """What the incoming side does."""
    ours = Signing(pipeline(ScriptedEngine(verdict)), KEYS, lambda _engine, _server: 27000, failed.append)
    return ours.process(whole(spool), nothing)


def receipts(report: Report) -> Sequence[str]:
    """The receipts that a message gets."""
    edits = report.decision.edits
    return [edit.value for edit in edits if isinstance(edit, InsertHeader) and edit.name == RECEIPT_HEADER]


SPAM_ADVICE = Advice(
    SpamAction.ADD_HEADER,
    5.0,
    ("A",),
    (
        RemoveHeader("X-Spam", 2),
        RemoveHeader("Authentication-Results", 1),
        RemoveHeader("subject", 1),
        InsertHeader("X-Spamd-Result", "one;\n\ttwo"),
        InsertHeader("Authentication-Results", "mx; spf=pass"),
    ),
)
EDITED: tuple[tuple[Header, ...], ...] = (
    (),
    ((b"X-Virus-Status", b" forged"),),
    ((b"X-Spam-Flag", b" NO"), (b"x-spam-flag", b" NO"), (b"X-Miltscan-Receipt", b" forged")),
    ((b"X-Spam", b" a"), (b"X-Spam", b" b"), (b"Authentication-Results", b" mx; dkim=pass")),
)


@pytest.mark.parametrize("advice", [None, Advice(SpamAction.NONE, 5.0), SPAM_ADVICE])
@pytest.mark.parametrize("more", EDITED)
def test_the_receipt_holds_after_our_edits(spool: Spool, more: tuple[Header, ...], advice: Advice | None) -> None:
    """It is signed over the headers as the MTA hands them over: with what we insert, without what we remove."""
    verdict = Verdict.scored("fake", "s", 8.0, advice, spam=True) if advice else CLEAN
    chosen = policy(foreign=(b"x-virus-", b"x-spam-", b"x-miltscan-"), filters=frozenset({"fake"}))
    scanning = Pipeline([ScriptedEngine(verdict)], chosen, scan_slots(1), 60.0, 0.0)
    arrived = whole(spool, *more)
    report = Signing(scanning, KEYS, lambda _engine, _server: 1, raised).process(arrived, nothing)
    assert len(report.decision.edits) > 1
    passed_on = edited(arrived.headers, report.decision.edits)
    checked = verify_receipt(KEYS, passed_on, lambda: body_digest(arrived), time.time(), 60.0)
    assert checked.receipt is ReceiptResult.VALID
    changed = [(name, b" " if name == b"X-Fold" else value) for name, value in passed_on]
    assert verify_receipt(KEYS, changed, lambda: body_digest(arrived), time.time(), 60.0).claim is None


class Grouped:
    """A pipeline with a decision for each of several groups."""

    def __init__(self, *decisions: Decision) -> None:
        self.decisions = decisions

    def process(self, message: Message, _tick: object) -> Report:
        """The message, which is clean."""
        groups = tuple(Group((number,), decision) for number, decision in enumerate(self.decisions))
        return Report(message, CLEAN, self.decisions[0], (), 0.0, 0.0, groups=groups)


TAGGED = (InsertHeader("X-Tag", "yes"), RemoveHeader("X-Fold", 1))
REFUSED = Decision(Reject(Reply(550, "5.7.1", "no")), "refused")


def test_each_group_has_a_receipt_of_its_own(spool: Spool) -> None:
    """It is signed over the edits of its decision; equal decisions stay equal, and a refusal has none."""
    decisions = [
        REFUSED,
        Decision(Accept(), "plain"),
        Decision(Copy((b"<c@example.test>",)), "plain"),
        Decision(Redirect((b"<c@example.test>",)), "tagged", TAGGED),
        Decision(Hold("because"), "held"),
    ]
    ours = Signing(Grouped(*decisions), KEYS, lambda _engine, _server: 1, raised)
    report = ours.process(whole(spool), nothing)
    assert report.decision == report.groups[0].decision == REFUSED
    made = [group.decision.edits for group in report.groups]
    assert made[1] == made[2]
    by = [
        checked.claim.by
        for edits in made[1:]
        if (
            checked := verify_receipt(
                KEYS, edited(HEADERS, edits), lambda: body_digest(report.message), time.time(), 60.0
            )
        ).claim
    ]
    assert by == [AcceptedBy.SCAN, AcceptedBy.SCAN, AcceptedBy.SCAN, AcceptedBy.RELEASE]


def test_a_group_with_a_verdict_of_its_own_has_that_in_its_receipt(spool: Spool) -> None:
    """What a list allows for one recipient passes at the delivery side, whatever another one was refused for."""
    allowed = Verdict.infected("clamd", "X").allowed_by("7k2m9q4w", complete=False)
    groups = (Group((0,), Decision(Accept(), "allowed"), verdict=allowed), Group((1,), REFUSED))

    class Differing:
        def process(self, message: Message, _tick: object) -> Report:
            infected = Verdict.infected("clamd", "X")
            return Report(message, infected, REFUSED, (Timed(infected, 0.0),), 0.0, 0.0, groups=groups)

    report = Signing(Differing(), KEYS, lambda _engine, _server: 1, raised).process(whole(spool), nothing)
    headers = edited(HEADERS, report.groups[0].decision.edits)
    claim = verify_receipt(KEYS, headers, lambda: body_digest(report.message), time.time(), 60.0).claim
    assert claim
    assert (claim.outcome, claim.reason) == (Outcome.UNSCANNED, Limit.ALLOWED)


def cut_off(spool: Spool) -> Message:
    """A message above the limit of its size, of which the rest is not in the spool."""
    return whole(spool)._replace(settled=too_large(2, 1), size=2**20)


def test_what_could_not_be_signed_has_no_receipt(spool: Spool) -> None:
    """The message was scanned, so the client receives 250; the delivery side scans it again."""
    failed: list[Exception] = []
    (receipt,) = receipts(signed(spool, failed))
    assert "; s=27000; " in receipt
    assert failed == []
    spool.close()
    assert receipts(signed(spool, failed)) == []
    assert [type(error) for error in failed] == [OSError]


@pytest.mark.parametrize("verdict", [INFECTED, Verdict.error("fake", Fault.CLOSED)])
def test_what_is_refused_is_left_as_it_is(spool: Spool, verdict: Verdict) -> None:
    """No edit, no receipt."""
    assert signed(spool, [], verdict).decision.edits == ()


@pytest.mark.parametrize("action", [ActionName.ACCEPT, ActionName.HOLD])
def test_what_is_accepted_though_too_large_needs_its_receipt(spool: Spool, action: ActionName) -> None:
    """The delivery side would refuse it for its size: where the spool had no room for it, the client keeps it."""
    chosen = policy(on_unscanned=dict.fromkeys(Limit, action))
    ours = Signing(Pipeline([], chosen, scan_slots(1), 60.0, 0.0), KEYS, lambda _engine, _server: 0, raised)
    made = whole(spool)
    (receipt,) = receipts(ours.process(made._replace(settled=too_large(made.size, 1)), nothing))
    assert "; r=too-large; " in receipt
    decision = ours.process(cut_off(spool), nothing).decision
    assert str(decision.reply) == "451 4.3.0 Message could not be stored, try again later (5AMEkX012345)"
    assert decision.rule == "receipt"


def test_what_was_not_kept_whole_gets_no_receipt(spool: Spool) -> None:
    """A receipt for an incomplete message could not be compared; one that is refused stays refused."""
    full = whole(spool)._replace(settled=Verdict.error("spool", Fault.SPOOL))
    accepts = Pipeline([], policy(on_error=ActionName.ACCEPT), scan_slots(1), 60.0, 0.0)
    report = Signing(accepts, KEYS, lambda *_: 0, raised).process(full._replace(size=2**20), nothing)
    assert (report.decision.action.name, receipts(report)) == (ActionName.ACCEPT, [])
    refuses = Pipeline([], policy(on_unscanned=dict.fromkeys(Limit, ActionName.REJECT)), scan_slots(1), 60.0, 0.0)
    report = Signing(refuses, KEYS, lambda *_: 0, raised).process(cut_off(spool), nothing)
    assert report.decision.action.name is ActionName.REJECT


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (INFECTED, "o=infected; by=release; r=; s=7;"),
        (Verdict.unscanned("fake", Limit.BUSY), "o=unscanned; by=release; r=busy; s=7;"),
    ],
)
def test_the_receipt_of_what_is_held_is_that_of_its_release(spool: Spool, verdict: Verdict, said: str) -> None:
    """Whoever releases the message knows its outcome: the delivery side must not stop it again."""
    hold = policy(on_infected=ActionName.HOLD, on_unscanned=dict.fromkeys(Limit, ActionName.HOLD))
    holds = Pipeline([ScriptedEngine(verdict)], hold, scan_slots(1), 60.0, 0.0)
    signing = Signing(holds, KEYS, lambda _engine, _server: 7, raised)
    report = signing.process(whole(spool), nothing)
    assert isinstance(report.decision.action, Hold)
    (receipt,) = receipts(report)
    assert f"; {said} " in receipt
    assert receipts(signing.process(cut_off(spool), nothing)) == []


def test_what_is_held_whole_though_it_is_too_large_gets_a_receipt(spool: Spool) -> None:
    """Otherwise the delivery side would hold it again after its release."""
    hold = policy(on_unscanned=dict.fromkeys(Limit, ActionName.HOLD))
    holds = Pipeline([ScriptedEngine(CLEAN)], hold, scan_slots(1), 60.0, 0.0)
    signing = Signing(holds, KEYS, lambda _engine, _server: 7, raised)
    made = whole(spool)
    (receipt,) = receipts(signing.process(made._replace(settled=too_large(made.size, 1)), nothing))
    assert "; o=unscanned; by=release; r=too-large; " in receipt


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("action", [ActionName.QUARANTINE, ActionName.DISCARD, ActionName.HOLD])
def test_a_release_is_not_stopped_in_silence(arriving: "Arriving", action: ActionName, large: bool) -> None:  # noqa: FBT001 - a case
    """Without a valid receipt it is refused for now: with 250 it would count as released, and nobody has it."""
    claim = Claim(int(time.time()), Outcome.INFECTED, 7, AcceptedBy.RELEASE)
    stops = policy(on_infected=action, on_unscanned=dict.fromkeys(Limit, action))
    theirs = Verifying(
        Pipeline([ScriptedEngine(INFECTED)], stops, scan_slots(1), 60.0, 0.0), OTHER_KEYS, 3600.0, raised
    )
    made = arriving(claim, (b"X-Miltscan-Released", b" 1"))
    if large:
        made = made._replace(settled=too_large(made.size, 1))
    report = theirs.process(made, nothing)
    assert report.decision.reply is not None
    assert str(report.decision.reply).startswith("451 4.7.1 Released message stopped again: its receipt is unknown-key")
    other = theirs.process(arriving(claim), nothing)
    assert other.decision.action.name is action


def test_a_large_message_passes_with_the_receipt_of_its_release(arriving: "Arriving") -> None:
    """It is in the quarantine because of its size, which is the same at the delivery side."""
    claim = Claim(int(time.time()), Outcome.UNSCANNED, 0, AcceptedBy.RELEASE, Limit.TOO_LARGE)
    made = arriving(claim, (b"X-Miltscan-Released", b" 1"))
    report = strict(ScriptedEngine(INFECTED)).process(made._replace(settled=too_large(made.size, 1)), nothing)
    assert (report.decision, report.receipt) == (PASSES, ReceiptResult.VALID)


def test_a_released_message_keeps_what_names_its_entry(arriving: "Arriving") -> None:
    """Of miltscan's own fields the delivery side removes the receipt alone."""
    claim = Claim(int(time.time()) - 86400, Outcome.INFECTED, 7, AcceptedBy.RELEASE)
    report = strict(ScriptedEngine(INFECTED)).process(arriving(claim, (b"X-Miltscan-Released", b" 1")), nothing)
    assert (report.decision, report.receipt) == (PASSES, ReceiptResult.VALID)


@pytest.mark.parametrize("verdict", [CLEAN, INFECTED])
def test_an_error_in_the_check_is_a_scan(spool: Spool, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine decides even if the check raises, and the error is reported."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("miltscan.scanning.receipts.verify_receipt", broken)
    failed: list[Exception] = []
    engine = ScriptedEngine(verdict)
    report = Verifying(pipeline(engine), KEYS, 3600.0, failed.append).process(whole(spool), nothing)
    assert (report.verdict, report.receipt, engine.asked) == (verdict, ReceiptResult.MISMATCH, 1)
    assert [str(error) for error in failed] == ["a bug"]


def test_a_spool_that_cannot_be_read_is_a_scan(spool: Spool) -> None:
    """A valid receipt does not count for a body that cannot be read."""
    (receipt,) = receipts(signed(spool, []))
    engine, failed = ScriptedEngine(INFECTED), list[Exception]()
    theirs = Verifying(pipeline(engine), KEYS, 3600.0, failed.append)
    message_at_delivery = whole(spool, (RECEIPT_HEADER.encode(), b" " + receipt.encode()))
    spool.close()
    assert theirs.process(message_at_delivery, nothing).verdict is INFECTED
    assert len(failed) == 1


NEVER_BETTER = (
    Verdict.error("fake", Fault.CLOSED),
    Verdict.unscanned("fake", Limit.BUSY),
    Verdict.unscanned("fake", Limit.LIMITS),
    Verdict.unscanned("fake", Limit.ENGINE_UNABLE),
)
FAILED = Claim(int(time.time()), Outcome.ERROR, 0, AcceptedBy.SCAN, Fault.CLOSED)
REFUSES = dict.fromkeys(Limit, ActionName.REJECT)


Arriving = Callable[..., Message]


@pytest.fixture
def arriving() -> Iterator[Arriving]:
    """Return a function that makes a message at the delivery side, with a valid receipt that says this."""
    with ExitStack() as stack:

        def with_receipt(claim: Claim, *headers: Header) -> Message:
            value = sign_receipt(KEYS[0], claim, HEADERS, hashlib.sha256(b"hello\r\n").digest())
            more = ((RECEIPT_HEADER.encode(), f" {value}".encode()), *headers)
            content = Spool(Path(), 1 << 20)
            stack.callback(content.close)
            content.write(head([*more, *HEADERS]) + b"hello\r\n")
            return whole(content, *more)

        yield with_receipt


def strict(*engines: ScriptedEngine, **choices: Any) -> Verifying:  # noqa: ANN401 - any field of a policy
    """The delivery side under a policy that rejects whatever is not clean."""
    ours = policy(on_error=ActionName.REJECT, on_unscanned=REFUSES, **choices)
    return Verifying(Pipeline(engines, ours, scan_slots(1), 60.0, 0.0), KEYS, 3600.0, raised)


@pytest.mark.parametrize(
    "claim",
    [
        FAILED,
        *(
            FAILED._replace(outcome=Outcome.UNSCANNED, reason=reason)
            for reason in (Limit.TIMEOUT, Limit.NO_ENGINE, Limit.BUSY, Limit.ENGINE_UNABLE)
        ),
    ],
)
def test_a_virus_that_only_the_second_scan_finds_is_handled_by_policy(arriving: Arriving, claim: Claim) -> None:
    """A message that was accepted although its scan failed is scanned again at the delivery side."""
    engine = ScriptedEngine(INFECTED)
    report = strict(engine).process(arriving(claim), nothing)
    assert (engine.asked, report.verdict, report.receipt) == (1, INFECTED, ReceiptResult.RESCANNED)
    assert isinstance(report.decision.action, Reject)


def test_a_second_scan_that_succeeds_marks_the_message(arriving: Arriving) -> None:
    """The mark of the failed scan is replaced, and the receipt is removed."""
    mark = (b"X-Virus-Status", b" Unscanned (closed)")
    report = strict(ScriptedEngine(CLEAN)).process(arriving(FAILED, mark), nothing)
    assert (report.decision.rule, report.receipt) == ("clean", ReceiptResult.RESCANNED)
    assert report.decision.edits == (
        RemoveHeader("X-Virus-Status", 1),
        RemoveHeader(RECEIPT_HEADER, 1),
        InsertHeader("X-Virus-Status", "Clean"),
        InsertHeader("X-Virus-Scanned", "miltscan 1 at mx.example.test"),
    )


PASSES = Decision(Accept(), "receipt", (RemoveHeader(RECEIPT_HEADER, 1),))


@pytest.mark.parametrize("verdict", NEVER_BETTER)
def test_nothing_is_refused_because_a_scan_failed_twice(arriving: Arriving, verdict: Verdict) -> None:
    """The client has received 250, so the message passes as incoming decided, whatever the policy says now."""
    report = strict(ScriptedEngine(verdict)).process(arriving(FAILED), nothing)
    assert (report.decision, report.verdict, report.receipt) == (PASSES, verdict, ReceiptResult.RESCANNED)


def test_an_optional_engine_that_fails_at_the_second_scan_refuses_nothing(arriving: Arriving) -> None:
    """Its action would be a tempfail for mail whose client has received 250."""
    optional = ScriptedEngine(Verdict.error("second", Fault.CLOSED), name="second", required=False)
    choices = {"optional": frozenset({"second"}), "on_engine_error": {"second": ActionName.TEMPFAIL}}
    report = strict(ScriptedEngine(CLEAN), optional, **choices).process(arriving(FAILED), nothing)
    assert report.decision == PASSES


def test_a_bug_in_the_second_scan_refuses_nothing(arriving: Arriving) -> None:
    """The exception is reported, and the message passes with what its receipt says."""
    failed: list[Exception] = []
    bug = RuntimeError("a bug")
    theirs = Verifying(pipeline(ScriptedEngine(bug)), KEYS, 3600.0, failed.append)
    report = theirs.process(arriving(FAILED), nothing)
    assert (report.decision, report.receipt, failed) == (PASSES, ReceiptResult.VALID, [bug])
    assert report.verdict == Verdict.vouched(Outcome.ERROR, Fault.CLOSED)


def test_a_second_scan_that_raised_may_go_on_reading(arriving: Arriving) -> None:
    """The report has no verdict of an engine, but clamd may still read the file: it serves no other message."""
    made = arriving(FAILED)
    assert isinstance(made.content, Spool)
    reader = os.dup(made.content.fileno())
    Verifying(pipeline(ScriptedEngine(RuntimeError("a bug"))), KEYS, 3600.0, lambda _: None).process(made, nothing)
    made.content.recycle()
    after = Spool(Path(), 1 << 20)
    after.write(b"another message")
    assert os.fstat(after.fileno()).st_ino != os.fstat(reader).st_ino
    after.close()
    os.close(reader)


@pytest.mark.parametrize(
    "claim",
    [
        *(FAILED._replace(by=by) for by in (AcceptedBy.RULE, AcceptedBy.RELEASE)),
        *(
            FAILED._replace(outcome=Outcome.INFECTED, by=by, reason=None)
            for by in (AcceptedBy.SCAN, AcceptedBy.RULE, AcceptedBy.RELEASE)
        ),
        FAILED._replace(outcome=Outcome.UNSCANNED, reason=Limit.ENCRYPTED),
        FAILED._replace(outcome=Outcome.UNSCANNED, reason=Limit.LIMITS),
        FAILED._replace(outcome=Outcome.CLEAN, reason=None),
    ],
)
def test_what_was_accepted_as_it_is_passes_without_a_scan(arriving: Arriving, claim: Claim) -> None:
    """Mail that a rule, a release or the policy accepted knowingly is not scanned again."""
    engine = ScriptedEngine(INFECTED)
    report = strict(engine).process(arriving(claim), nothing)
    assert (engine.asked, report.decision, report.receipt) == (0, PASSES, ReceiptResult.VALID)
    assert report.verdict == Verdict.vouched(claim.outcome, claim.reason)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ([Verdict.error("fake", Fault.CLOSED)], "o=error; by=scan; r=closed"),
        ([Verdict.unscanned("fake", Limit.ENCRYPTED)], "o=unscanned; by=scan; r=encrypted"),
        # of two failures the one that the next scan may cure, so that there is one
        (
            [Verdict.unscanned("fake", Limit.ENCRYPTED), Verdict.unscanned("fake", Limit.TIMEOUT)],
            "o=unscanned; by=scan; r=timeout",
        ),
        ([CLEAN, Verdict.unscanned("optional", Limit.TIMEOUT)], "o=clean; by=scan; r="),
        (
            [Verdict.unscanned("fake", Limit.LIMITS), Verdict.unscanned("optional", Limit.TIMEOUT)],
            "o=unscanned; by=scan; r=limits",
        ),
        ([Verdict.unscanned("fake", Limit.TIMEOUT), INFECTED], "o=infected; by=scan; r="),
    ],
)
def test_the_receipt_says_why_the_scan_failed(spool: Spool, verdicts: list[Verdict], said: str) -> None:
    """Outcome and reason are those of the required engines; a virus counts even if another engine failed."""
    accepts = policy(
        on_infected=ActionName.ACCEPT,
        on_error=ActionName.ACCEPT,
        on_unscanned=dict.fromkeys(Limit, ActionName.ACCEPT),
        optional=frozenset({"optional"}),
    )
    engines = [ScriptedEngine(one, name=one.engine) for one in verdicts]
    inner = Pipeline(engines, accepts, scan_slots(1), 60.0, 0.0)
    (receipt,) = receipts(Signing(inner, KEYS, lambda *_: 7, raised).process(whole(spool), nothing))
    assert f"; {said}; s=7; " in receipt


def test_a_message_past_a_limit_is_not_believed(spool: Spool) -> None:
    """What was not kept cannot be compared: the policy decides."""
    (receipt,) = receipts(signed(spool, []))
    theirs = Verifying(pipeline(ScriptedEngine(CLEAN)), KEYS, 3600.0, raised)
    message_at_delivery = whole(spool, (RECEIPT_HEADER.encode(), receipt.encode()))
    cut = message_at_delivery._replace(settled=too_large(2, 1), size=2**20)
    report = theirs.process(cut, nothing)
    assert (report.verdict.outcome, report.receipt) == (Outcome.UNSCANNED, None)


def test_the_digest_begins_with_the_body(spool: Spool) -> None:
    """Preface and headers are left out: sendmail changes them."""
    other = Spool(Path(), 1 << 20)
    other.write(head([(b"Received", b" y"), *HEADERS]) + b"hello\r\n")
    longer = message(headers=((b"Received", b" y"), *HEADERS), content=other)
    assert body_digest(longer) == body_digest(whole(spool))
    os.pwrite(other.fileno(), b"j", other.size - 7)
    assert body_digest(longer) != body_digest(whole(spool))
    other.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of the two pipelines: a quarter of a second when it is first read, half a second more each time."""
    readings = count(0.25, 0.5)
    monkeypatch.setattr(
        "miltscan.scanning.receipts.time", SimpleNamespace(monotonic=lambda: next(readings), time=time.time)
    )


class Known:
    """A pipeline with a known report."""

    def process(self, message: Message, _tick: object) -> Report:
        """Clean, in two seconds."""
        return Report(message, CLEAN, Decision(Accept(), "clean"), (), 1.0, 2.0)


@pytest.mark.usefixtures("clock")
def test_signing_and_a_valid_receipt_take_their_own_time(spool: Spool) -> None:
    """The time to sign is part of the whole; a valid receipt saves the scan and the wait for a slot."""
    report = Signing(Known(), KEYS, lambda _engine, _server: 0, raised).process(whole(spool), nothing)
    assert (report.waited, report.seconds) == (1.0, 2.5)
    (receipt,) = receipts(report)
    engine = ScriptedEngine(INFECTED)
    headers = ((RECEIPT_HEADER.encode(), b" " + receipt.encode()), *HEADERS)
    arrived = Spool(Path(), 1 << 20)
    arrived.write(head([*headers]) + b"hello\r\n")
    passed = Verifying(pipeline(engine), KEYS, 3600.0, raised).process(
        message(headers=headers, content=arrived), nothing
    )
    arrived.close()
    assert (passed.verdict.outcome, passed.receipt, engine.asked) == (Outcome.CLEAN, ReceiptResult.VALID, 0)
    assert (passed.waited, passed.seconds) == (0.0, 0.5)
