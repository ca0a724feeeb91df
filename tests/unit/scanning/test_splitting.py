"""Recipients with decisions of their own: all is stored and handed over before the answer, and nothing twice."""

import os
import threading
from collections.abc import Callable, Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.action import (
    Accept,
    Action,
    Copy,
    Decision,
    Discard,
    Hold,
    Quarantine,
    Redirect,
    Reject,
    Reply,
    TempFail,
)
from miltscan.core.edits import Header, InsertHeader, RemoveHeader
from miltscan.core.message import PREFACE, Destination, Envelope, Message
from miltscan.core.policy import not_handed_over, not_kept
from miltscan.core.report import Copies, Group, Kept, Report
from miltscan.core.session import head
from miltscan.core.split import RecipientMode
from miltscan.core.verdict import Limit, Verdict
from miltscan.errors import MtaGoneError, StoreError
from miltscan.quarantine.ledger import CopyLedger
from miltscan.scanning import splitting
from miltscan.scanning.copies import CopySender
from miltscan.scanning.splitting import Splitting
from miltscan.scanning.spool import Spool
from tests.fakes.delivery import QUEUED, FakeDelivery, fake_delivery
from tests.fakes.messages import message

HEADERS: tuple[Header, ...] = (
    (b"Subject", b" a\n long one"),
    (b"X-Old", b" \xe4"),
    (b"Message-ID", b" <1@example.org>"),
)
BODY = b"text \xfc\r\n.dot\r\n"
A, B, C = b"<a@example.test>", b"<b@example.test>", b"<c@example.test>"
BOSS = b"<boss@example.test>"
REJECT = Reject(Reply(550, "5.7.1", "no"))
TAG = (RemoveHeader("X-Old", 1), InsertHeader("X-Tag", "yes"))
FIRST = "6AMG4FiU000001"


class Store:
    """A quarantine that remembers what it was asked to keep."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, tuple[bytes, ...], str]] = []
        self.problem: StoreError | None = None

    def __call__(self, report: Report, area: str, content: int) -> str:
        """Keep a message."""
        assert os.pread(content, 1 << 16, len(PREFACE)).endswith(BODY)
        if self.problem:
            raise self.problem
        self.kept.append((area, report.message.envelope.recipients, report.decision.rule))
        return f"entry{len(self.kept)}"


class Decided:
    """A pipeline that decides for each recipient."""

    def __init__(self, *decisions: Decision) -> None:
        self.decisions = decisions

    def process(self, message: Message, _tick: Callable[[], None]) -> Report:
        """The report; equal decisions are of one group."""
        groups = [
            Group(tuple(place for place, other in enumerate(self.decisions) if other == one), one)
            for one in dict.fromkeys(self.decisions)
        ]
        alike = len(groups) == 1
        return Report(
            message, Verdict.clean("fake"), self.decisions[0], (), 0.0, 0.0, groups=() if alike else tuple(groups)
        )


class Site:
    """A site with a store and a delivery sendmail."""

    def __init__(self, folder: Path, delivery: FakeDelivery, spool: Spool) -> None:
        self.folder, self.delivery, self.spool = folder, delivery, spool
        self.store = Store()

    def message(self, *recipients: bytes, headers: tuple[Header, ...] = HEADERS, **fields: object) -> Message:
        """The message for these recipients, each with a DSN argument."""
        destinations = tuple(
            Destination((b"NOTIFY=SUCCESS", b"X=1"), ("local", "", one.decode())) for one in recipients
        )
        envelope = Envelope(
            b"<s@example.org>",
            recipients,
            arguments=(b"RET=HDRS", b"SIZE=9"),
            destinations=destinations,
            editable=True,
        )
        self.spool.write(head([*headers]) + BODY)
        size = self.spool.size - len(PREFACE)
        return message(envelope=envelope, headers=headers, content=self.spool, size=size, **fields)

    def process(
        self,
        mail: Message,
        *decisions: Decision,
        mode: RecipientMode = RecipientMode.EACH,
        tick: Callable[[], None] = lambda: None,
    ) -> Report:
        """What becomes of it."""
        ledger, sender = CopyLedger(self.folder), CopySender(self.delivery.server, 30.0)
        decided = Decided(*decisions)
        return Splitting(decided, mode, self.store, ledger, sender, "mx.example.test", 0.0).process(mail, tick)

    @property
    def received(self) -> list[list[str]]:
        """The recipients of each message that the delivery sendmail has got."""
        return [one.recipients for one in self.delivery.messages]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site that accepts everything."""
    spool = Spool(Path(), 1 << 20)
    with fake_delivery() as delivery:
        yield Site(tmp_path, delivery, spool)
    spool.close()


def decided(action: Action, rule: str = "rule", *, tagged: bool = False) -> Decision:
    """A decision."""
    return Decision(action, rule, TAG if tagged else ())


def fates(report: Report) -> list[tuple[tuple[int, ...], str, str, str]]:
    """The recipients of each group with area, queue ID and refusal."""
    return [
        (group.recipients, group.kept.area if group.kept else "", group.queue_id, group.refusal)
        for group in report.groups
    ]


def test_one_decision_passes(site: Site) -> None:
    """Nearly all mail: nothing is done, and nothing is written."""
    report = site.process(site.message(A, B), decided(Accept()), decided(Accept()))
    assert (report.groups, report.copies, [*site.folder.iterdir()]) == ((), None, [])


def test_a_refused_recipient_is_removed_after_its_mail_was_stored(site: Site) -> None:
    """The other one receives the message from the MTA; no copy is sent."""
    report = site.process(site.message(A, B), decided(Accept()), decided(REJECT, "no b"))
    assert report.decision.action == Accept()
    assert [edit.address for edit in report.decision.recipients] == [B]
    assert site.store.kept == [("refused", (B,), "no b")]
    assert fates(report) == [((0,), "", "", ""), ((1,), "refused", "", "")]
    assert (report.copies, site.delivery.commands) == (None, [])


def test_what_is_stored_has_the_verdict_of_its_recipients(site: Site) -> None:
    """Lists may make it another one than that of the message."""
    seen: list[Verdict] = []

    def keep(report: Report, area: str, content: int) -> str:
        seen.append(report.verdict)
        return site.store(report, area, content)

    own = Verdict.infected("a", "X")
    groups = (Group((0,), decided(Accept())), Group((1,), decided(REJECT), verdict=own))

    class Differing:
        def process(self, mail: Message, _tick: object) -> Report:
            return Report(mail, Verdict.clean("a"), groups[0].decision, (), 0.0, 0.0, groups=groups)

    ledger, sender = CopyLedger(site.folder), CopySender(site.delivery.server, 30.0)
    made = Splitting(Differing(), RecipientMode.EACH, keep, ledger, sender, "mx.example.test", 0.0)
    made.process(site.message(b"<a@example.test>", b"<b@example.test>"), lambda: None)
    assert seen == [own]


def test_a_copy_has_its_own_headers(site: Site) -> None:
    """It has CRLF in folds, a trace field, all other bytes as received, and the DSN arguments of its recipient."""
    report = site.process(site.message(A, B), decided(Accept()), decided(Accept(), tagged=True))
    (copy,) = site.delivery.messages
    assert (copy.sender, copy.recipients) == (
        f"FROM:<s@example.org> SIZE={len(copy.content)} BODY=8BITMIME RET=HDRS",
        ["<b@example.test>"],
    )
    assert site.delivery.arguments == {"<b@example.test>": "NOTIFY=SUCCESS"}
    names = [name for name, _ in message_from_bytes(copy.content).items()]
    assert names == ["Received", "X-Tag", "Subject", "Message-ID"]
    assert b"Received: from mail.example.org ([192.0.2.1]) by mx.example.test (miltscan copy) id " in copy.content
    assert b"\r\nSubject: a\r\n long one\r\n" in copy.content
    assert copy.content.endswith(b"\r\n\r\n" + BODY)
    assert copy.content.count(b"\n") == copy.content.count(b"\r\n")
    assert fates(report) == [((0,), "", "", ""), ((1,), "", FIRST, "")]
    assert report.copies
    assert report.copies == Copies(1, 0, report.copies.seconds)


def test_a_held_message_keeps_only_those_who_are_held(site: Site) -> None:
    """The others receive a copy."""
    report = site.process(site.message(A, B, C), decided(Accept()), decided(Hold("why")), decided(Accept()))
    assert report.decision.action == Hold("why")
    assert [edit.address for edit in report.decision.recipients] == [A, C]
    assert site.received == [["<a@example.test>", "<c@example.test>"]]


@pytest.mark.parametrize("action", [Redirect((BOSS,)), Copy((BOSS,))])
def test_other_addresses_receive_it(site: Site, action: Redirect | Copy) -> None:
    """With one decision for all as well; of a copy the sender learns nothing."""
    report = site.process(site.message(A, B), decided(action), decided(action))
    assert (report.decision.action, report.decision.recipients) == (action, ())
    assert site.received == [["<boss@example.test>"]]
    arguments = {"<boss@example.test>": "NOTIFY=NEVER" if isinstance(action, Copy) else ""}
    assert site.delivery.arguments == arguments
    assert fates(report) == [((0, 1), "", FIRST, "")]


def test_an_address_receives_one_copy(site: Site) -> None:
    """Also if it is a recipient, or several rules send it one."""
    copy = Copy((A, BOSS))
    mail = site.message(A, B, C)
    report = site.process(mail, decided(Accept()), decided(copy), decided(copy, tagged=True))
    assert report.decision.action in {Accept(), copy}
    assert sorted(address for one in site.received for address in one) == ["<boss@example.test>", "<c@example.test>"]


def test_nobody_is_left(site: Site) -> None:
    """The MTA discards its message after all was stored and handed over."""
    decisions = decided(Quarantine("macros")), decided(Redirect((BOSS,))), decided(Discard())
    report = site.process(site.message(A, B, C), *decisions)
    assert (report.decision.action, report.decision.recipients) == (Quarantine("macros"), ())
    assert (site.store.kept, site.received) == ([("macros", (A,), "rule")], [["<boss@example.test>"]])
    assert fates(report) == [((0,), "macros", "", ""), ((1,), "", FIRST, ""), ((2,), "", "", "")]


@pytest.mark.parametrize(
    ("mode", "actions", "answer"),
    [
        (RecipientMode.STRICTEST, (Accept(), REJECT), REJECT),
        (RecipientMode.SPLIT_AT_RCPT, (Accept(), Hold("why")), Hold("why")),
        (
            RecipientMode.EACH,
            (Accept(), TempFail(Reply(451, "4.7.1", "later"))),
            TempFail(Reply(451, "4.7.1", "later")),
        ),
    ],
)
def test_one_answer_for_all(site: Site, mode: RecipientMode, actions: tuple[Action, ...], answer: Action) -> None:
    """Nothing is stored or handed over."""
    report = site.process(site.message(A, B), *map(decided, actions), mode=mode)
    assert (report.decision.action, report.groups) == (answer, ())
    assert (site.store.kept, site.delivery.commands) == ([], [])


def copies(site: Site, **fields: Any) -> tuple[Message, list[Decision]]:  # noqa: ANN401 - of a message
    """A message for A, with a copy each for B and C."""
    other = Decision(Accept(), "rule", (InsertHeader("X-Other", "yes"),))
    return site.message(A, B, C, **fields), [decided(Accept()), decided(Accept(), tagged=True), other]


@pytest.mark.parametrize("refusal", ["550 5.1.1 User unknown", "451 4.3.0 later", "421 4.3.2 bye"])
def test_no_copy_is_sent_before_all_are_accepted(site: Site, refusal: str) -> None:
    """A refusal for good is stored and delays nobody; any other one is a tempfail for all, and nobody has a copy."""
    site.delivery.refusals = {"<c@example.test>": refusal}
    mail, decisions = copies(site, queue_id="Q")
    report = site.process(mail, *decisions)
    if refusal.startswith("5"):
        assert report.decision.action == Accept()
        assert site.received == [["<b@example.test>"]]
        assert site.store.kept == [("refused", (C,), "rule")]
        assert fates(report)[1:] == [((1,), "", FIRST, ""), ((2,), "refused", "", refusal)]
    else:
        assert report.decision == not_handed_over("Q")
        assert report.copies
        assert report.copies.error == f"copies: {refusal}"
        assert (site.received, site.store.kept, report.groups) == ([], [], ())


def test_ten_retries_send_one_copy(site: Site) -> None:
    """The second copy fails at its final dot in every way: a retry sends what the first one has not, and no more."""
    answers = ["451 4.3.0 later", "554 5.6.0 no"]
    mail, decisions = copies(site)
    for answer in (*answers, *[QUEUED] * 8):
        site.delivery.replies = {"<c@example.test>": answer}
        report = site.process(mail, *decisions)
        assert (report.decision.reply is None) is (answer != answers[0])
    assert [one.count("<b@example.test>") for one in site.received].count(1) == 1
    assert sum("<c@example.test>" in one for one in site.received) == 3  # refused twice, then accepted
    assert site.store.kept == [("refused", (C,), "rule")]


def test_a_copy_that_may_have_arrived_is_sent_twice_at_most(site: Site) -> None:
    """The connection dies after each final dot: after the second copy the mail is stored, and the client has 250."""
    site.delivery.replies = {"<c@example.test>": None}
    mail, decisions = copies(site)
    reports = [site.process(mail, *decisions) for _ in range(10)]
    assert [report.decision.reply is None for report in reports] == [False, False, *[True] * 8]
    assert site.received == [["<b@example.test>"], ["<c@example.test>"], ["<c@example.test>"]]
    assert site.store.kept == [("refused", (C,), "rule")]
    assert "unknown whether they arrived" in reports[-1].groups[-1].refusal


def test_what_was_stored_is_not_stored_again(site: Site) -> None:
    """The client tries again because a copy failed."""
    site.delivery.replies = {"<b@example.test>": "451 4.3.0 later"}
    decisions = decided(Accept()), decided(Accept(), tagged=True), decided(Quarantine("macros"))
    mail = site.message(A, B, C)
    reports = [site.process(mail, *decisions) for _ in range(3)]
    site.delivery.replies = {}
    reports.append(site.process(mail, *decisions))
    assert [report.decision.reply is None for report in reports] == [False, False, False, True]
    assert site.store.kept == [("macros", (C,), "rule")]
    kept = reports[-1].groups[-1].kept
    assert kept
    assert kept == Kept("macros", "entry1", kept.seconds)


def test_equal_bytes_without_a_message_id_are_two_messages(site: Site) -> None:
    """A device that sends the same text each day is no retry; after a failure it is one."""
    mail, decisions = copies(site, headers=HEADERS[:2])
    site.delivery.replies = {"<c@example.test>": "451 4.3.0 later"}
    assert site.process(mail, *decisions).decision.reply
    site.delivery.replies = {}
    assert site.process(mail, *decisions).decision.reply is None
    assert sum("<b@example.test>" in one for one in site.received) == 1
    assert site.process(mail, *decisions).decision.reply is None
    assert sum("<b@example.test>" in one for one in site.received) == 2


def test_a_delivery_sendmail_that_is_down_is_a_tempfail(site: Site) -> None:
    """Its greeting is one as well: it refuses this host, not the message."""
    site.delivery.greeting = "554 5.3.2 no"
    mail, decisions = copies(site, queue_id="Q")
    report = site.process(mail, *decisions)
    assert report.decision == not_handed_over("Q")
    assert site.store.kept == []


def test_what_cannot_be_stored_is_a_tempfail(site: Site) -> None:
    """Nothing was handed over."""
    site.store.problem = StoreError("disk full")
    decisions = decided(Accept()), decided(Accept(), tagged=True), decided(REJECT)
    report = site.process(site.message(A, B, C, queue_id="Q"), *decisions)
    assert report.decision == not_kept("Q")
    assert report.kept
    assert (report.kept.error, site.received) == ("disk full", [])


def test_more_copies_than_connections(site: Site) -> None:
    """Each recipient may have headers of its own."""
    recipients = [b"<r%d@example.test>" % number for number in range(40)]
    decisions = [Decision(Accept(), "rule", (InsertHeader("X-For", one.decode()),)) for one in recipients]
    report = site.process(site.message(*recipients), *decisions)
    assert report.copies
    assert (report.copies.accepted, len(site.received)) == (39, 39)


def test_a_delivery_sendmail_that_hangs_is_a_tempfail(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The MTA sees progress; what is sent afterwards is remembered, and no further copy is begun."""
    monkeypatch.setattr(splitting, "COPY_WAIT", 0.5)
    monkeypatch.setattr(splitting, "_TICK", 0.01)
    site.delivery.may_reply.clear()
    ticks: list[None] = []
    mail, decisions = copies(site, queue_id="Q")
    report = site.process(mail, *decisions, tick=lambda: ticks.append(None))
    assert (report.decision, bool(ticks)) == (not_handed_over("Q"), True)
    site.delivery.may_reply.set()
    monkeypatch.setattr(splitting, "COPY_WAIT", 30.0)
    while (report := site.process(mail, *decisions)).decision.reply:  # the first attempt has the page until it ends
        assert "another session" in (report.copies.error if report.copies else "")
    assert sorted(site.received) == [["<b@example.test>"], ["<c@example.test>"]]


def test_an_mta_that_goes_away_ends_the_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """No further copy is begun."""
    monkeypatch.setattr(splitting, "_TICK", 0.01)
    site.delivery.may_reply.clear()

    def gone() -> None:
        if site.delivery.at_dot.is_set():
            raise MtaGoneError

    mail, decisions = copies(site)
    with pytest.raises(MtaGoneError):
        site.process(mail, *decisions, tick=gone)
    site.delivery.may_reply.set()
    places = splitting._places  # noqa: SLF001 - free when the thread ends
    taken = [places.acquire(timeout=30) for _ in range(splitting._MESSAGES)]  # noqa: SLF001
    for _ in taken:
        places.release()
    assert all(taken)
    assert site.received == [["<b@example.test>"]]


def test_only_so_many_messages_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is a tempfail at once."""
    monkeypatch.setattr(splitting, "_places", threading.BoundedSemaphore(1))
    splitting._places.acquire()  # noqa: SLF001 - all are taken
    mail, decisions = copies(site, queue_id="Q")
    assert site.process(mail, *decisions).decision == not_handed_over("Q")


def test_an_incomplete_message_has_the_strictest_decision(site: Site) -> None:
    """A message above the limit is not in the spool as a whole."""
    mail = site.message(A, B, settled=Verdict.unscanned("session", Limit.TOO_LARGE))._replace(size=2**20)
    report = site.process(mail, decided(Accept()), decided(REJECT))
    assert (report.decision.action, site.store.kept) == (REJECT, [])
