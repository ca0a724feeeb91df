"""Releases: for whom, with which result, and in which state each failure leaves the entry."""

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.keys import Key
from miltscan.core.receipt import AcceptedBy, ReceiptResult, verify_receipt
from miltscan.core.released import parse_head
from miltscan.core.verdict import Limit, Outcome
from miltscan.errors import EntryError, StoreError
from miltscan.quarantine.entry import Entry, Event, Standing, State
from miltscan.quarantine.files import Files
from miltscan.quarantine.release import Order, Releaser, chosen
from tests.fakes.delivery import FakeDelivery, fake_delivery
from tests.fakes.entries import ANN, BOB, NOW, put
from tests.fakes.entries import entry as make_entry

TIMEOUT = 20.0
CLEAN: dict[str, Any] = {"outcome": Outcome.CLEAN, "signature": None}
ROOT = Order("root")
FOUND = Order("root", infected=True, reason="wanted")
OTHER = b"<other@example.net>"


@pytest.fixture
def fake() -> Iterator[FakeDelivery]:
    """A delivery sendmail that accepts everything."""
    with fake_delivery() as server:
        yield server


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty quarantine."""
    return Files(tmp_path / "quarantine")


@pytest.fixture
def releaser(files: Files, fake: FakeDelivery) -> Releaser:
    """What releases through that server."""
    return Releaser(files, files.record, fake.server, TIMEOUT, "mx.example.test", "miltscan 1 at mx.example.test")


def states(files: Files, entry: Entry) -> tuple[State, ...]:
    """The state of Ann and of Bob."""
    known = files.read(entry.id).states
    return known[ANN], known[BOB]


def replies(files: Files, entry: Entry) -> list[str]:
    """The replies that are recorded."""
    return [event.reply for event in files.events(entry.id) if event.reply]


def test_all_recipients_in_one_transaction(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """The message goes to all who wait, once, with sender and recipients of its envelope."""
    entry = put(files, **CLEAN)
    release = releaser.release(entry.id, ROOT)
    (received,) = fake.messages
    assert received.sender.startswith("FROM:<sender@client.example> SIZE=")
    assert received.recipients == [ANN.decode(), BOB.decode()]
    assert {one.queue_id for one in release.deliveries} == {"6AMG4FiU000001"}
    assert [one.recipient for one in release.deliveries] == [ANN, BOB]
    assert states(files, entry) == (State.RELEASED, State.RELEASED)
    (event,) = [one for one in files.events(entry.id) if one.state is State.RELEASED]
    assert (event.by, event.queue_id) == ("root", "6AMG4FiU000001")
    assert event.reply == "250 2.0.0 6AMG4FiU000001 Message accepted for delivery"


CONTENT = (
    b"Received: from a\n\tby b\r\nX-Virus-Status: Clean\r\nX-Spam-Flag: NO\r\nx-miltscan-receipt: v=2\r\n"
    b"Subject: folded\r\n one\n two\r\n\r\n.\r\n..two\r\n8-bit \xe4\xff\nbare\r\nend"
)


def test_the_bytes_of_the_message(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """All bytes are as received but for our fields; bare line feeds become line ends, and dots stay."""
    entry = put(files, CONTENT, **CLEAN)
    releaser.release(entry.id, ROOT)
    (received,) = fake.messages
    head, _, body = received.content.partition(b"\r\n\r\n")
    added, _, rest = head.partition(b"Received: from a")
    assert rest == b"\r\n\tby b\r\nSubject: folded\r\n one\r\n two"
    assert [line.partition(b":")[0] for line in added.splitlines()] == [
        b"X-Miltscan-Released",
        b"X-Virus-Scanned",
        b"X-Virus-Status",
        b"Received",
    ]
    assert f"X-Miltscan-Released: {entry.id}".encode() in added
    assert b"from client.example ([192.0.2.1]) by mx.example.test (miltscan quarantine) id 4B1x; Mon, 21 Sep" in added
    assert body == b".\r\n..two\r\n8-bit \xe4\xff\r\nbare\r\nend\r\n"
    assert f"SIZE={len(received.content)} BODY=8BITMIME" in received.sender


def test_the_receipt_of_a_release(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """With a key the message has a receipt that the delivery side finds valid, whatever its body is."""
    key = Key("k", b"k" * 32)
    signing = Releaser(files, files.record, releaser.server, TIMEOUT, "mx.example.test", None, key, clock=lambda: NOW)
    entry = put(files, CONTENT)
    signing.release(entry.id, FOUND)
    head, _, body = fake.messages[0].content.partition(b"\r\n\r\n")
    digest = hashlib.sha256(body).digest()
    checked = verify_receipt((key,), parse_head(head + b"\r\n\r\n"), lambda: digest, NOW, 1.0)
    assert checked.receipt is ReceiptResult.VALID
    assert checked.claim is not None
    assert (checked.claim.by, checked.claim.outcome) == (AcceptedBy.RELEASE, Outcome.INFECTED)


def test_an_empty_sender(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """A bounce keeps its empty sender."""
    releaser.release(put(files, sender=b"<>", **CLEAN).id, ROOT)
    assert fake.messages[0].sender.startswith("FROM:<> ")


@pytest.mark.parametrize("asked", [BOB, b"bob@example.org", b"BOB@Example.ORG"])
def test_a_named_recipient(files: Files, fake: FakeDelivery, releaser: Releaser, asked: bytes) -> None:
    """Only the named recipient receives it, by the address of the envelope; the other one still waits."""
    entry = put(files, **CLEAN)
    releaser.release(entry.id, Order("root", (asked,)))
    assert fake.messages[0].recipients == [BOB.decode()]
    assert states(files, entry) == (State.STORED, State.RELEASED)
    releaser.release(entry.id, ROOT)
    assert fake.messages[1].recipients == [ANN.decode()]


def test_a_refused_recipient_stays(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """Each recipient has its own result, and a remedy where only incoming knows the address."""
    fake.refusals = {BOB.decode(): "550 5.1.1 <bob@example.org>... User unknown"}
    entry = put(files, **CLEAN)
    ann, bob = releaser.release(entry.id, ROOT).deliveries
    assert (ann.queue_id, ann.remedy) == ("6AMG4FiU000001", "")
    assert (bob.queue_id, bob.reply) == ("", "550 5.1.1 <bob@example.org>... User unknown")
    assert "--to" in bob.remedy
    assert states(files, entry) == (State.RELEASED, State.STORED)
    assert bob.reply in replies(files, entry)


@pytest.mark.parametrize(
    ("reply", "recorded"),
    [
        ("451 4.3.0 later", "451 4.3.0 later"),
        ("554 5.6.0 no", "554 5.6.0 no"),
        ("250 okay", "250 okay (without a queue ID: it may have the message or not)"),
        ("hello", "not a reply of SMTP: "),
        (None, "no reply from port"),
    ],
)
def test_only_a_queue_id_is_success(
    files: Files, fake: FakeDelivery, releaser: Releaser, reply: str | None, recorded: str
) -> None:
    """Refused, garbled, or gone after the final dot: the entry stays, with the last reply, and can be released."""
    fake.reply = reply
    entry = put(files, **CLEAN)
    release = releaser.release(entry.id, ROOT)
    assert {one.queue_id for one in release.deliveries} == {""}
    assert all(one.reply.startswith(recorded) for one in release.deliveries)
    assert states(files, entry) == (State.STORED, State.STORED)
    assert [text.startswith(recorded) for text in replies(files, entry)] == [True]
    fake.reply = "250 2.0.0 6AMG4FiU001852 Message accepted for delivery"
    assert releaser.release(entry.id, ROOT).deliveries[0].queue_id == "6AMG4FiU001852"
    assert states(files, entry) == (State.RELEASED, State.RELEASED)


def test_an_unreachable_server(files: Files, releaser: Releaser, fake: FakeDelivery) -> None:
    """Without a connection the entry stays, and its last reply says why."""
    fake.greeting = "421 4.3.2 too busy"
    entry = put(files, **CLEAN)
    assert releaser.release(entry.id, ROOT).deliveries[0].reply == "421 4.3.2 too busy"
    absent = Releaser(files, files.record, ("127.0.0.1", 1), TIMEOUT, "mx.example.test")
    assert "Connection refused" in absent.release(entry.id, ROOT).deliveries[0].reply
    assert states(files, entry) == (State.STORED, State.STORED)


def test_released_ones_only_again(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """Who has the message receives it a second time only on request, and a failure then does not take it away."""
    entry = put(files, **CLEAN)
    releaser.release(entry.id, ROOT)
    for order in (ROOT, Order("root", (ANN,))):
        with pytest.raises(EntryError, match=r"was released to .* use --again"):
            releaser.release(entry.id, order)
    assert len(fake.messages) == 1
    releaser.release(entry.id, Order("root", (ANN,), again=True))
    assert fake.messages[1].recipients == [ANN.decode()]
    fake.reply = "451 later"
    releaser.release(entry.id, Order("root", again=True))
    assert states(files, entry) == (State.RELEASED, State.RELEASED)


def test_infected_mail_requires_a_reason(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """An infected message is released only on purpose; a cleared one like any other, and it is marked so."""
    entry = put(files)
    for order in (ROOT, Order("root", infected=True), Order("root", reason="x"), Order("root", to=OTHER)):
        with pytest.raises(EntryError, match=r"is infected \(Heuristics.Phishing.Email\). .* --infected and --reason"):
            releaser.release(entry.id, order)
    assert fake.messages == []
    assert files.events(entry.id) == ()
    releaser.release(entry.id, Order("ann", (ANN,), infected=True, reason="false alarm"))
    assert b"X-Virus-Status: Infected (Heuristics.Phishing.Email)" in fake.messages[0].content
    assert {event.reason for event in files.events(entry.id)} == {"false alarm"}
    files.record(entry.id, Event(NOW, "keeper", State.CLEARED, outcome=Outcome.CLEAN, signatures=2))
    releaser.release(entry.id, ROOT)
    assert fake.messages[1].recipients == [BOB.decode()]
    assert b"X-Virus-Status: Clean" in fake.messages[1].content


def test_what_was_cleared_is_released_like_any_other(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """It needs no reason, for those for whom it was cleared."""
    entry = put(files)
    files.record(entry.id, Event(NOW, "keeper", State.CLEARED, (BOB,)))
    releaser.release(entry.id, Order("root", (BOB,)))
    assert fake.messages[0].recipients == [BOB.decode()]


def test_the_reason_of_the_scan(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """X-Virus-Status has the reason of the last scan: not that of an earlier one with another outcome."""
    entry = put(files, outcome=Outcome.UNSCANNED, signature=None, reason=Limit.ENCRYPTED)
    releaser.release(entry.id, ROOT)
    assert b"X-Virus-Status: Unscanned (encrypted)" in fake.messages[0].content
    files.record(entry.id, Event(NOW, "keeper", outcome=Outcome.ERROR))
    releaser.release(entry.id, Order("root", again=True))
    assert b"X-Virus-Status: Unscanned (error)" in fake.messages[1].content


def test_a_failed_release_keeps_cleared(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """What was cleared is cleared again after a failure."""
    entry = put(files)
    files.record(entry.id, Event(NOW, "keeper", State.CLEARED, (BOB,)))
    fake.reply = "451 later"
    releaser.release(entry.id, FOUND)
    assert states(files, entry) == (State.STORED, State.CLEARED)


def test_another_address(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """`to` sends a copy elsewhere: it changes no state, and is recorded, accepted or not."""
    entry = put(files, **CLEAN)
    fake.refusals = {"<gone@example.net>": "550 5.1.1 no"}
    release = releaser.release(entry.id, Order("root", to=OTHER))
    assert [one.recipient for one in release.deliveries] == [OTHER]
    assert fake.messages[0].recipients == [OTHER.decode()]
    assert releaser.release(entry.id, Order("root", to=b"gone@example.net")).deliveries[0].reply == "550 5.1.1 no"
    assert states(files, entry) == (State.STORED, State.STORED)
    assert [(one.to, one.queue_id, one.reply[:3]) for one in files.events(entry.id)] == [
        (OTHER, "6AMG4FiU000001", "250"),
        (b"gone@example.net", "", "550"),
    ]


def test_what_cannot_be_released(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """A deleted entry, an unknown one, an unknown recipient and a broken file are one line each; nothing is sent."""
    entry = put(files, **CLEAN)
    with pytest.raises(EntryError, match=r"has no recipient <eve@x>. Expected one of: <ann@example.com>, <bob"):
        releaser.release(entry.id, Order("root", (b"<eve@x>",)))
    with pytest.raises(EntryError, match="no entry"):
        releaser.release("0" * 20, ROOT)
    path = files.find(entry.id)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(EntryError, match="damaged"):
        releaser.release(entry.id, ROOT)
    files.record(entry.id, Event(NOW, "root", State.DELETED))
    with pytest.raises(EntryError, match="was deleted"):
        releaser.release(entry.id, ROOT)
    assert fake.messages == []
    assert [event.state for event in files.events(entry.id)] == [State.DELETED]


def test_a_file_that_fails_while_it_is_sent(
    files: Files, fake: FakeDelivery, releaser: Releaser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gets no final dot, and the entry has its former state with the reason."""
    entry = put(files, b"Subject: x\r\n\r\n" + b"line\r\n" * 50_000, **CLEAN)
    real = os.pread

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        if "DATA" in fake.commands and size > 1:  # one byte is that of the state file
            raise OSError(5, "Input/output error")
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(EntryError, match=f"entry {entry.id}: the message cannot be read: Input/output error"):
        releaser.release(entry.id, ROOT)
    monkeypatch.undo()
    assert fake.messages == []
    assert states(files, entry) == (State.STORED, State.STORED)
    assert "cannot be read" in replies(files, entry)[0]


def test_two_releases_at_once_deliver_once(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """While one process releases an entry, a second one gets a line and sends nothing."""
    fake.may_reply.clear()
    entry = put(files, **CLEAN)
    first = threading.Thread(target=releaser.release, args=(entry.id, ROOT))
    first.start()
    assert fake.at_dot.wait(TIMEOUT)
    assert states(files, entry) == (State.RELEASING, State.RELEASING)
    with pytest.raises(EntryError, match="another process is releasing"):
        releaser.release(entry.id, ROOT)
    fake.may_reply.set()
    first.join(TIMEOUT)
    assert len(fake.messages) == 1
    assert states(files, entry) == (State.RELEASED, State.RELEASED)


def test_a_process_that_dies_releases_nothing_for_good(files: Files, fake: FakeDelivery, releaser: Releaser) -> None:
    """Killed between the final dot and the record, the state is `releasing`; the next release sends it again."""
    fake.may_reply.clear()
    entry = put(files, **CLEAN)
    process = multiprocessing.get_context("fork").Process(target=releaser.release, args=(entry.id, ROOT))
    process.start()
    assert fake.at_dot.wait(TIMEOUT)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(TIMEOUT)
    fake.may_reply.set()
    assert states(files, entry) == (State.RELEASING, State.RELEASING)
    releaser.release(entry.id, ROOT)
    assert len(fake.messages) == 2
    assert states(files, entry) == (State.RELEASED, State.RELEASED)


def test_a_failure_after_a_crash_gives_the_first_state_back(
    files: Files, fake: FakeDelivery, releaser: Releaser
) -> None:
    """The state before a release without a result is the one that a failure restores."""
    entry = put(files)
    files.record(entry.id, Event(NOW, "keeper", State.CLEARED, (BOB,)))
    files.record(entry.id, Event(NOW, "root", State.RELEASING))
    fake.reply = "451 later"
    releaser.release(entry.id, FOUND)
    assert states(files, entry) == (State.STORED, State.CLEARED)


def test_what_was_sent_and_cannot_be_recorded(files: Files, fake: FakeDelivery) -> None:
    """A full disk after the 250 is an error that names the queue ID; the entry will be sent again."""

    def record(entry_id: str, event: Event) -> None:
        if event.state is State.RELEASED:
            raise StoreError("quarantine: No space left on device")
        files.record(entry_id, event)

    entry = put(files, **CLEAN)
    full = Releaser(files, record, fake.server, TIMEOUT, "mx.example.test")
    with pytest.raises(StoreError, match=r"released as 6AMG4FiU000001, but this was not recorded: .*No space"):
        full.release(entry.id, ROOT)
    assert states(files, entry) == (State.RELEASING, State.RELEASING)


def test_many_recipients_are_chosen_in_linear_time() -> None:
    """Each one is looked up, not searched: 60,000 took half a minute."""
    recipients = tuple(b"<user%d@example.com>" % number for number in range(60_000))
    standing = Standing(make_entry(recipients=recipients))
    began = time.process_time()
    assert chosen(standing, FOUND) == recipients
    assert time.process_time() - began < 2
