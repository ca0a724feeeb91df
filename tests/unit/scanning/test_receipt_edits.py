"""The receipt after each kind of header edit that a rule may make: it holds for the edited message alone."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from miltscan.core.edits import Header, HeaderEdit, InsertHeader, edited
from miltscan.core.keys import Key
from miltscan.core.message import PREFACE, Envelope, Message
from miltscan.core.policy import Policy
from miltscan.core.receipt import RECEIPT_HEADER, AcceptedBy, ReceiptResult, verify_receipt
from miltscan.core.report import Report
from miltscan.core.session import head
from miltscan.core.verdict import Advice, SpamAction, Verdict
from miltscan.scanning.pipeline import Bounded, Pipeline, SpamFilter, scan_slots
from miltscan.scanning.receipts import Signing, Verifying, body_digest
from miltscan.scanning.spool import Spool
from tests.fakes.engine import ScriptedEngine
from tests.fakes.messages import message, policy
from tests.unit.core.test_ruled import ruled

KEYS = (Key("k", b"k" * 32),)
CLEAN, INFECTED = Verdict.clean("fake"), Verdict.infected("fake", "Eicar")
BODY = b"hello\r\n"
A, B, C = b"<a@example.test>", b"<b@example.test>", b"<c@example.test>"
FROM: Header = (b"From", b" <sender@example.org>")
SUBJECTS: dict[str, tuple[Header, ...]] = {
    "plain": ((b"Subject", b" x"),),
    "folded": ((b"Subject", b" a\n\tb\n  c"),),
    "encoded": ((b"SUBJECT", b" =?utf-8?Q?Gr=C3=BC?=\n =?utf-8?B?w7w=?="),),
    "utf-8": ((b"Subject", " Grüße".encode()),),
    "latin-1": ((b"Subject", b" Gr\xfc\xdfe"),),
    "missing": (),
    "empty": ((b"Subject", b""),),
    "blank": ((b"Subject", b" \n\t "),),
    "two": ((b"Subject", b" one"), (b"subject", b" two")),
    "tagged": ((b"Subject", b" [T clean] x"),),
    "long": ((b"Subject", b" " + b"x" * 990),),
}
OWN: tuple[Header, ...] = ((b"X-Own", b" a\n\tb"), (b"x-own", b" c"), (b"X-Other", b" \xff\xfe"), (b"Subject", b" x"))
FORGED: tuple[Header, ...] = (
    *((b"X-Virus-Status", b" Clean"), (b"X-Spam-Flag", b" NO"), (b"x-miltscan-receipt", b" v=2")),
    *((b"X-Miltscan-Probe", b" x"), *OWN),
)
TAG = 'tag = "[T {outcome}]"'
EDITS: dict[str, tuple[tuple[Header, ...], str]] = {
    "none": (OWN, ""),
    **{f"tag, {name} subject": (subject, TAG) for name, subject in SUBJECTS.items()},
    "tag of hostile text": (SUBJECTS["plain"], 'tag = "{sender}"'),
    "added": (OWN, 'add_headers = { "X-New" = "{rule}" }'),
    "added of hostile text": (OWN, 'add_headers = { "X-New" = "{sender}, {recipient}" }'),
    "added in place of one": (OWN, 'add_headers = { "x-other" = "{size}" }'),
    "added in place of two": (OWN, 'add_headers = { "X-OWN" = "{score}" }'),
    "two added": (OWN, 'add_headers = { "X-One" = "1", "X-Two" = "2" }'),
    "removed": (OWN, 'remove_headers = ["X-Other"]'),
    "two removed": (OWN, 'remove_headers = ["x-OWN"]'),
    "removed that is not there": (OWN, 'remove_headers = ["X-Missing"]'),
    "all": (OWN, f'{TAG}\nadd_headers = {{ "X-New" = "n", "X-Other" = "o" }}\nremove_headers = ["X-Own"]'),
    "all, with forged ones": (
        FORGED,
        f'{TAG}\nadd_headers = {{ "X-New" = "n", "X-Other" = "o" }}\nremove_headers = ["X-Own"]',
    ),
}
ADVICE = Advice(SpamAction.ADD_HEADER, 5.0, ("A",), (InsertHeader("X-Spamd-Result", "one;\n\ttwo"),))
SPAM = Verdict.scored("spam", "s", 8.0, ADVICE, spam=True)


@pytest.fixture
def spool() -> Iterator[Spool]:
    """The content of one message."""
    made = Spool(Path(), 1 << 20)
    yield made
    made.close()


def arrived(spool: Spool, headers: Sequence[Header], *recipients: bytes) -> Message:
    """The message at the incoming side."""
    spool.write(head([*headers]) + BODY)
    envelope = Envelope(b"<\xff\x1b\n@example.org>", recipients or (A,))
    return message(headers=headers, content=spool, size=spool.size - len(PREFACE), envelope=envelope)


def signed(chosen: Policy, received: Message, *, spam: bool = False) -> Report:
    """The report of the incoming side."""
    engine = ScriptedEngine(SPAM, name="spam", required=False)
    filters = [SpamFilter(Bounded(engine, None, None), scan_slots(1), frozenset())] if spam else []
    scanning = Pipeline([ScriptedEngine(CLEAN)], chosen, scan_slots(1), 60.0, 0.0, filters)
    return Signing(scanning, KEYS, lambda _engine, _server: 1, raised).process(received, nothing)


def raised(error: Exception) -> None:
    """An error that is not expected."""
    raise error


def nothing() -> None:
    """No sign of life."""


def result(headers: Sequence[Header], received: Message) -> ReceiptResult:
    """What the receipt among these headers is worth."""
    return verify_receipt(KEYS, headers, lambda: body_digest(received), time.time(), 60.0).receipt


def passes(headers: Sequence[Header]) -> bool:
    """Whether the delivery side passes a message with these headers without a scan, which would find a virus."""
    spool, engine = Spool(Path(), 1 << 20), ScriptedEngine(INFECTED)
    try:
        at_delivery = arrived(spool, headers)
        ours = Verifying(Pipeline([engine], policy(), scan_slots(1), 60.0, 0.0), KEYS, 60.0, raised)
        return (ours.process(at_delivery, nothing).receipt, engine.asked) == (ReceiptResult.VALID, 0)
    finally:
        spool.close()


def signed_edits(edits: Sequence[HeaderEdit]) -> list[int]:
    """The positions of edits of fields that the receipt covers: all but miltscan's own."""
    ours = ("x-virus-", "x-miltscan-")
    return [position for position, edit in enumerate(edits) if not edit.name.lower().startswith(ours)]


@pytest.mark.parametrize("spam", [False, True], ids=["clean", "spam"])
@pytest.mark.parametrize("kind", EDITS)
def test_the_receipt_holds_after_each_kind_of_edit(spool: Spool, kind: str, *, spam: bool) -> None:
    """Without any one of the edits, or with one field more, it does not: it is about the message as edited."""
    headers, edits = EDITS[kind]
    foreign = (b"x-virus-", b"x-spam-", b"x-miltscan-") if spam else (b"x-virus-", b"x-miltscan-")
    chosen = ruled(f'[[rule]]\nname = "r"\naction = "accept"\n{edits}', foreign=foreign, filters=frozenset({"spam"}))
    received = arrived(spool, (FROM, *headers))
    made = signed(chosen, received, spam=spam).decision.edits
    after = edited(received.headers, made)
    assert result(after, received) is ReceiptResult.VALID
    assert passes(after)
    assert result([*after, (b"X-More", b" x")], received) is ReceiptResult.MISMATCH
    covered = signed_edits(made)
    assert bool(covered) is (spam or kind not in {"none", "tag, tagged subject", "removed that is not there"})
    for position in covered:
        without = edited(received.headers, made[:position] + made[position + 1 :])
        assert result(without, received) is ReceiptResult.MISMATCH


ACTIONS = {
    "accept": ("", AcceptedBy.SCAN),
    "hold": ("", AcceptedBy.RELEASE),
    "copy": ('to = ["boss@example.test"]', AcceptedBy.SCAN),
    "redirect": ('to = ["boss@example.test"]', AcceptedBy.SCAN),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_the_receipt_of_each_action_that_keeps_the_message(spool: Spool, action: str) -> None:
    """All of them may have edits; whoever releases a held message has accepted it."""
    more, by = ACTIONS[action]
    rule = f'[[rule]]\nname = "r"\naction = "{action}"\n{more}\n{EDITS["all"][1]}'
    received = arrived(spool, OWN)
    decision = signed(ruled(rule), received).decision
    assert decision.action.name == action
    after = edited(received.headers, decision.edits)
    checked = verify_receipt(KEYS, after, lambda: body_digest(received), time.time(), 60.0)
    assert checked.claim
    assert checked.claim.by is by
    assert passes(after)


GROUPS = f"""
[[rule]]
name = "tagged"
when = {{ recipient = "a@example.test" }}
action = "accept"
{TAG}
[[rule]]
name = "edited"
when = {{ recipient = "b@example.test" }}
action = "redirect"
to = ["boss@example.test"]
add_headers = {{ "X-Other" = "{{recipient}}" }}
remove_headers = ["X-Own"]
[[rule]]
name = "refused"
when = {{ recipient = "refused@example.test" }}
action = "reject"
"""


def test_each_group_of_recipients_has_a_receipt_for_its_own_headers(spool: Spool) -> None:
    """Three groups with tag, other headers and none; a receipt of one group is not valid for the headers of another."""
    received = arrived(spool, OWN, A, B, C, b"<refused@example.test>")
    groups = {group.decision.rule: group.decision.edits for group in signed(ruled(GROUPS), received).groups}
    assert {*groups} == {"tagged", "edited", "clean", "refused"}
    assert groups.pop("refused") == ()
    for name, edits in groups.items():
        after = edited(received.headers, edits)
        assert passes(after)
        (receipt,) = [header for header in after if header[0] == RECEIPT_HEADER.encode()]
        for other in groups.keys() - {name}:
            theirs = [header for header in edited(received.headers, groups[other]) if header[0] != receipt[0]]
            assert result([receipt, *theirs], received) is ReceiptResult.MISMATCH
