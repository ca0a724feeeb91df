"""Notices and summaries through a delivery sendmail: who gets which, never twice, whatever dies or refuses."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import time as clock
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.keys import Key
from miltscan.core.message import Direction
from miltscan.core.receipt import RECEIPT_HEADER, AcceptedBy, Claim, ReceiptResult, verify_receipt
from miltscan.core.released import parse_head
from miltscan.core.verdict import Outcome
from miltscan.quarantine.audience import HORIZON, AreaMails, MailStep, Told
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.notifier import Notifier
from miltscan.quarantine.post import Mailed, Mails
from miltscan.quarantine.store import Store
from miltscan.quarantine.templates import Sender
from tests.fakes.delivery import FakeDelivery, Received, fake_delivery
from tests.fakes.entries import ANN, BOB, put

DAY = 86400.0
NONE, RECIPIENTS, ADMINISTRATORS, BOTH = (Told.of(word) for word in ("none", "recipients", "administrators", "both"))
ROOT = b"root@example.org"
STORED = 1_790_000_000.0 - 10 * 3600  # 04:13:20 in UTC
MORNING = STORED + 2 * 3600  # 06:13:20


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host is in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def server() -> Iterator[FakeDelivery]:
    """A delivery sendmail."""
    with fake_delivery() as fake:
        yield fake


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty quarantine."""
    store = Store(tmp_path / "quarantine")
    yield store
    store.close()


def mails(server: FakeDelivery, notice: Told = NONE, summary: Told = NONE, **changes: Any) -> Mails:  # noqa: ANN401 - any field
    """Settings with one area."""
    areas = {"default": AreaMails(notice, summary, 30 * DAY)}
    sender = Sender("postmaster@mx.example.org", "mx.example.org")
    return Mails(areas, (ROOT,), sender, server.server, 30.0, clock(6), 100)._replace(**changes)


def notifier(store: Store, settings: Mails, now: float = STORED, **more: Any) -> Notifier:  # noqa: ANN401 - as Notifier
    """A notifier that began at that time."""
    return Notifier(store, settings, now, **more)


def stored(store: Store, **changes: Any) -> str:  # noqa: ANN401 - any field of an entry
    """Store a message, put it into the index, and return its ID."""
    changes = {"time": STORED, "subject": "hello", **changes}
    entry_id = put(store.files, os.urandom(20), **changes).id
    store.refresh()
    return entry_id


def recipients(server: FakeDelivery) -> list[str]:
    """The recipients of all mails so far."""
    return [address for one in server.messages for address in one.recipients]


def read(received: Received) -> EmailMessage:
    """A mail as its reader sees it."""
    found = message_from_bytes(received.content, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def text(received: Received) -> str:
    """The text of a mail."""
    body = read(received).get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def steps(mailed: list[Mailed]) -> list[tuple[bytes, MailStep]]:
    """Address and result of each mail."""
    return [(one.addressee.address, one.step) for one in mailed]


def test_notices(store: Store, server: FakeDelivery) -> None:
    """Each recipient and each administrator receives one notice of a message, from the empty sender."""
    entry_id = stored(store)
    work = notifier(store, mails(server, BOTH))
    mailed = work.work(STORED + 1)
    assert steps(mailed) == [(address, MailStep.SENT) for address in (ROOT, ANN, BOB)]
    assert {one.about for one in mailed} == {entry_id}
    assert recipients(server) == ["<root@example.org>", "<ann@example.com>", "<bob@example.org>"]
    assert all(one.sender.startswith("FROM:<>") for one in server.messages)
    assert "client[.]example" in text(server.messages[0])
    assert entry_id in text(server.messages[1])
    assert "bob@" not in server.messages[1].content.decode()
    assert work.work(STORED + 2) == notifier(store, mails(server, BOTH)).work(STORED + 600) == []


def test_areas(store: Store, server: FakeDelivery) -> None:
    """Only messages of areas that want notices are told of."""
    stored(store)
    stored(store, area="loud", recipients=(BOB,))
    areas = {"default": AreaMails(NONE, NONE, DAY), "loud": AreaMails(RECIPIENTS, NONE, DAY)}
    work = notifier(store, mails(server, areas=areas))
    assert steps(work.work(STORED + 1)) == [(BOB, MailStep.SENT)]


def test_a_late_index(store: Store, server: FakeDelivery) -> None:
    """A message that reaches the index half an hour after younger ones is told of, too."""
    late = put(store.files, time=STORED, recipients=(ANN,)).id
    work = notifier(store, mails(server, RECIPIENTS))
    assert work.work(STORED + 1) == work.work(STORED + 900) == []
    store.refresh()
    stored(store, time=STORED + 1000, recipients=(BOB,))
    assert next(one.about for one in work.work(STORED + 1800)) == late
    assert recipients(server) == ["<ann@example.com>", "<bob@example.org>"]


def test_a_slow_message(store: Store, server: FakeDelivery) -> None:
    """A message that was still being stored when the notifier last looked is told of."""
    work = notifier(store, mails(server, RECIPIENTS))
    assert work.work(STORED + 100) == []
    slow = stored(store, time=STORED + 10, recipients=(ANN,))
    assert [one.about for one in work.work(STORED + 101)] == [slow]


def test_a_retry_of_the_client(store: Store, server: FakeDelivery) -> None:
    """The second copy of a message that a client has sent again is not told of, and not listed."""
    for seconds in (0, 10):
        put(store.files, b"the same", time=STORED + seconds, recipients=(ANN,))
    store.refresh()
    work = notifier(store, mails(server, RECIPIENTS, RECIPIENTS))
    assert [one.kind for one in work.work(STORED + 20)] == ["notice"]
    assert [one.kind for one in work.work(MORNING)] == ["summary"]
    assert read(server.messages[1])["Subject"] == "Quarantine: 1 message, 2026-09-21 06:00"


def test_a_refused_notice(store: Store, server: FakeDelivery) -> None:
    """A refusal is recorded and tried again later; the other recipients do not wait for it."""
    entry_id = stored(store)
    server.refusals = {"<ann@example.com>": "450 4.2.1 later"}
    work = notifier(store, mails(server, RECIPIENTS))
    assert steps(work.work(STORED + 1)) == [(ANN, MailStep.REFUSED), (BOB, MailStep.SENT)]
    assert store.files.events(entry_id)[1].reply == "450 4.2.1 later"
    server.refusals = {}
    assert work.work(STORED + 300) == []
    assert steps(work.work(STORED + 301)) == [(ANN, MailStep.SENT)]
    assert work.work(STORED + 3000) == []
    assert recipients(server) == ["<bob@example.org>", "<ann@example.com>"]


def test_old_news(store: Store, server: FakeDelivery) -> None:
    """A notice that is refused for an hour is dropped, and one about an older message is not sent at all."""
    stored(store, recipients=(ANN,))
    server.refusals = {"<ann@example.com>": "550 5.1.1 no"}
    work = notifier(store, mails(server, RECIPIENTS))
    found = [step for seconds in range(0, 2 * 3600, 60) for step in steps(work.work(STORED + 1 + seconds))]
    assert found == [(ANN, MailStep.REFUSED)] * 4 + [(ANN, MailStep.DROPPED)]
    server.refusals = {}
    assert notifier(store, mails(server, RECIPIENTS), STORED + 2 * HORIZON).work(STORED + 2 * HORIZON) == []


def test_the_rate_of_notices(store: Store, server: FakeDelivery) -> None:
    """No more notices are sent in an hour than the setting allows, whatever restarts; what is over it is dropped."""
    for number in range(7):
        stored(store, time=STORED + number, recipients=(b"<r%d@example.org>" % number,))
    settings = mails(server, RECIPIENTS, max_per_hour=3)
    assert len(notifier(store, settings).work(STORED + 10)) == 3
    again = notifier(store, settings, STORED + 20)
    assert again.work(STORED + 20) == []
    late = again.work(STORED + 10 + HORIZON)
    assert [step for _, step in steps(late)] == [MailStep.DROPPED] * 4
    assert len(server.messages) == 3
    assert notifier(store, mails(server, RECIPIENTS, max_per_hour=0)).work(STORED + 10) == []


def test_a_server_that_cannot_be_reached(store: Store, server: FakeDelivery) -> None:
    """Without a server one attempt is made a minute, not one for each mail; nothing is lost."""
    stored(store)
    nowhere = mails(server, RECIPIENTS)._replace(server=("127.0.0.1", 1))
    work = notifier(store, nowhere)
    assert steps(work.work(STORED + 1)) == [(ANN, MailStep.REFUSED)]
    assert work.work(STORED + 60) == []
    assert steps(work.work(STORED + 61)) == [(BOB, MailStep.REFUSED)]
    assert steps(notifier(store, mails(server, RECIPIENTS)).work(STORED + 500)) == [
        (ANN, MailStep.SENT),
        (BOB, MailStep.SENT),
    ]


def test_a_server_that_dies_at_the_final_dot(store: Store, server: FakeDelivery) -> None:
    """A mail that may have arrived is not sent again."""
    entry_id = stored(store, recipients=(ANN,))
    server.reply = None
    work = notifier(store, mails(server, RECIPIENTS, RECIPIENTS))
    assert steps(work.work(STORED + 1)) == [(ANN, MailStep.DOUBTFUL)]
    assert store.files.events(entry_id)[-1].notice == "doubtful"
    assert steps(work.work(MORNING)) == [(ANN, MailStep.DOUBTFUL)]
    server.reply = "250 ok"
    assert notifier(store, mails(server, RECIPIENTS, RECIPIENTS)).work(MORNING + 600) == []
    assert len(server.messages) == 2


def test_a_deleted_entry(store: Store, server: FakeDelivery) -> None:
    """An entry that is deleted while its notice waits is no error, and is not listed."""
    entry_id, _ = stored(store, recipients=(ANN,)), stored(store, recipients=(BOB,))
    work = notifier(store, mails(server, RECIPIENTS, RECIPIENTS))
    store.files.delete(entry_id)  # the index does not know
    assert steps(work.work(STORED + 1)) == [(BOB, MailStep.SENT)]
    assert steps(work.work(MORNING)) == [(BOB, MailStep.SENT)]


def test_a_summary_a_day(store: Store, server: FakeDelivery) -> None:
    """Each recipient receives one mail a day with all of his messages since the last one, and only his."""
    first = stored(store, subject="first")
    second = stored(store, subject="second", recipients=(b"<Ann@Example.COM>",), time=STORED + 1)
    work = notifier(store, mails(server, summary=RECIPIENTS))
    assert work.work(MORNING - 3600) == []
    assert sorted(steps(work.work(MORNING))) == sorted([(b"<Ann@Example.COM>", MailStep.SENT), (BOB, MailStep.SENT)])
    assert work.work(MORNING + 60) == notifier(store, mails(server, summary=RECIPIENTS)).work(MORNING + 120) == []
    ann, bob = sorted(server.messages, key=lambda one: one.recipients[0].lower())
    assert first in text(ann)
    assert second in text(ann)
    assert second not in text(bob)
    assert "bob" not in ann.content.decode()
    third = stored(store, time=MORNING + 600, recipients=(ANN,))
    assert steps(work.work(MORNING + DAY)) == [(ANN, MailStep.SENT)]
    assert third in text(server.messages[-1])
    assert first not in text(server.messages[-1])
    assert work.work(MORNING + 2 * DAY) == []


def test_administrators(store: Store, server: FakeDelivery) -> None:
    """Administrators receive the numbers of each area and the newest messages, of all directions."""
    for number in range(60):
        put(store.files, os.urandom(9), time=STORED + number, direction=Direction.OUTBOUND, subject=f"number {number}")
    put(store.files, os.urandom(9), time=STORED - 2 * DAY, area="other")
    put(store.files, os.urandom(9), time=STORED, area="silent")
    store.refresh()
    areas = {name: AreaMails(NONE, ADMINISTRATORS, DAY) for name in ("default", "other")}
    work = notifier(store, mails(server, areas=areas))
    assert steps(work.work(MORNING)) == [(ROOT, MailStep.SENT)]
    found = text(server.messages[0])
    area = next(line.split() for line in found.splitlines() if line.startswith("default"))
    assert area[:3] == ["default", "60", "60"]
    assert "silent" not in found
    assert "number 59" in found
    assert "number 10" in found
    assert "number 9\n" not in found
    assert "10 older messages are not listed" in found


def test_a_clock_that_was_ahead_for_a_while(store: Store, server: FakeDelivery) -> None:
    """When it is right again, notices and summaries are sent as before, and none a second time."""
    keeper = notifier(store, mails(server, RECIPIENTS, RECIPIENTS))
    stored(store, recipients=(ANN,))
    assert steps(keeper.work(STORED + 1, 9)) == [(ANN, MailStep.SENT)]
    keeper.work(STORED + 300 * DAY, 9)
    stored(store, recipients=(BOB,), time=STORED + 60)
    assert steps(keeper.work(STORED + 61, 9)) == [(BOB, MailStep.SENT)]
    assert {one.kind for one in keeper.work(MORNING, 9)} == {"summary"}
    assert keeper.work(MORNING + 60, 9) == []


def test_strangers_and_unknown_areas(store: Store, server: FakeDelivery) -> None:
    """Recipients of outgoing mail, and messages of an area without settings, are in no summary."""
    stored(store, direction=Direction.OUTBOUND)
    stored(store, direction=Direction.SUBMISSION)
    stored(store, area="gone")
    assert notifier(store, mails(server, RECIPIENTS, RECIPIENTS)).work(MORNING) == []
    assert server.messages == []
    outgoing = stored(store, direction=Direction.OUTBOUND, recipients=(ANN,), time=MORNING + 3600)
    stored(store, recipients=(ANN,), time=MORNING + 3600)
    notifier(store, mails(server, summary=RECIPIENTS)).work(MORNING + DAY)
    assert read(server.messages[0])["Subject"] == "Quarantine: 1 message, 2026-09-22 06:00"
    assert outgoing not in text(server.messages[0])


def test_an_address_that_looks_like_a_domain(store: Store, server: FakeDelivery) -> None:
    """A recipient whose address is a domain with a leading @ sees only his own messages."""
    stored(store, recipients=(b"<@example.com>",), subject="for the odd one")
    stored(store, recipients=(ANN,), subject="for ann")
    notifier(store, mails(server, summary=RECIPIENTS)).work(MORNING)
    assert not any("for ann" in text(one) for one in server.messages if one.recipients != ["<ann@example.com>"])
    assert "<ann@example.com>" in recipients(server)


@pytest.mark.parametrize(
    "odd", [b"<\xc3\xa4@\xc3\xa4.example>", b"<a\xff@b>", b'<"a b"@b>', b"<>", b"<a\r\nRCPT TO:<x>>"]
)
def test_odd_addresses_stop_nobody(store: Store, server: FakeDelivery, odd: bytes) -> None:
    """Whatever an address is, the others receive theirs, and nothing is sent to anybody else."""
    stored(store, recipients=(odd, ANN))
    work = notifier(store, mails(server, RECIPIENTS, RECIPIENTS))
    for seconds in (1, 120, 240):
        work.work(STORED + seconds)
    for seconds in (0, 120, 240):
        work.work(MORNING + seconds)
    assert recipients(server).count("<ann@example.com>") == 2
    assert set(recipients(server)) <= {"<ann@example.com>", odd.decode("latin-1")}


def test_a_refused_summary(store: Store, server: FakeDelivery) -> None:
    """A refused summary is tried again that day; the next day's mail lists what no mail of the day before did."""
    first = stored(store, recipients=(ANN,))
    stored(store, recipients=(BOB,))
    server.refusals = {"<ann@example.com>": "451 later"}
    settings = mails(server, summary=RECIPIENTS)
    work = notifier(store, settings)
    assert sorted(steps(work.work(MORNING))) == [(ANN, MailStep.REFUSED), (BOB, MailStep.SENT)]
    assert work.work(MORNING + 299) == []
    assert steps(work.work(MORNING + 301)) == [(ANN, MailStep.REFUSED)]
    assert steps(notifier(store, settings).work(MORNING + 901)) == [(ANN, MailStep.REFUSED)]
    second = stored(store, recipients=(ANN,), time=MORNING + 3600)
    server.refusals = {}
    assert steps(notifier(store, settings).work(MORNING + DAY)) == [(ANN, MailStep.SENT)]
    assert first in text(server.messages[-1])
    assert second in text(server.messages[-1])
    assert read(server.messages[-1])["Subject"] == "Quarantine: 2 messages, 2026-09-22 06:00"
    assert notifier(store, settings).work(MORNING + 2 * DAY) == []


def test_totals_where_summaries_begin_at_different_times(store: Store, server: FakeDelivery) -> None:
    """The number of messages is that of the recipient's own time, also where not all of them are listed."""
    for number in range(2):
        stored(store, recipients=(ANN, BOB), time=STORED + number)
    server.refusals = {"<ann@example.com>": "451 later"}
    settings = mails(server, summary=RECIPIENTS)
    notifier(store, settings).work(MORNING)
    for number in range(55):
        put(store.files, b"%d" % number, recipients=(ANN, BOB), time=MORNING + 3600 + number)
    store.refresh()
    server.refusals = {}
    assert len(notifier(store, settings).work(MORNING + DAY)) == 2
    subjects = {one.recipients[0]: str(read(one)["Subject"]) for one in server.messages[1:]}
    assert subjects["<bob@example.org>"].startswith("Quarantine: 55 messages")
    assert subjects["<ann@example.com>"].startswith("Quarantine: 57 messages")


def test_a_pause_of_the_keeper(store: Store, server: FakeDelivery) -> None:
    """After a pause the next summary goes back to the last one; before the first it is of one day."""
    stored(store, time=STORED - 3 * DAY, recipients=(ANN,))
    old = stored(store, recipients=(ANN,))
    settings = mails(server, summary=RECIPIENTS)
    notifier(store, settings).work(MORNING)
    assert old in text(server.messages[0])
    assert read(server.messages[0])["Subject"] == "Quarantine: 1 message, 2026-09-21 06:00"
    for days in (0.5, 1.5, 2.5):
        stored(store, time=MORNING + days * DAY, recipients=(ANN,))
    assert steps(notifier(store, settings).work(MORNING + 3 * DAY)) == [(ANN, MailStep.SENT)]
    assert read(server.messages[1])["Subject"] == "Quarantine: 3 messages, 2026-09-24 06:00"


def test_an_interrupted_day(store: Store, server: FakeDelivery) -> None:
    """Mails that a stopped keeper left go out after its start, the same day or the next, each once."""
    for number in range(6):
        stored(store, recipients=(b"<r%d@example.org>" % number,))
    settings = mails(server, summary=RECIPIENTS)
    assert len(notifier(store, settings).work(MORNING, limit=2)) == 2
    assert len(notifier(store, settings).work(MORNING + 60, limit=2)) == 2
    assert len(notifier(store, settings).work(MORNING + DAY)) == 2
    assert sorted(recipients(server)) == [f"<r{number}@example.org>" for number in range(6)]
    assert notifier(store, settings).work(MORNING + 2 * DAY) == []


def test_the_index_is_made_again(store: Store, server: FakeDelivery) -> None:
    """What was sent is in files: without the index nothing is sent twice."""
    stored(store)
    settings = mails(server, BOTH, BOTH)
    work = notifier(store, settings)
    assert len(work.work(STORED + 1)) == len(work.work(MORNING)) == 3
    store.close()
    for file in store.files.directory.glob("index.sqlite*"):
        file.unlink()
    other = Store(store.files.directory)
    assert notifier(other, settings, STORED + 2).work(STORED + 600) == []
    assert notifier(other, settings).work(MORNING + 60) == []
    other.close()


def test_a_summary_waits_for_the_index(store: Store, server: FakeDelivery) -> None:
    """While an entry of its time is not in the index a summary waits."""
    put(store.files, time=STORED, recipients=(ANN,))
    work = notifier(store, mails(server, summary=RECIPIENTS))
    assert work.work(MORNING) == []
    store.refresh()
    assert len(work.work(MORNING + 3600)) == 1
    put(store.files, b"another", time=MORNING + 7200, recipients=(ANN,))
    assert work.work(MORNING + DAY) == work.work(MORNING + 1.9 * DAY) == []
    store.refresh()
    assert len(notifier(store, mails(server, summary=RECIPIENTS)).work(MORNING + 1.9 * DAY)) == 1


def test_states(store: Store, server: FakeDelivery) -> None:
    """A summary says of each message whether it was released."""
    entry_id = stored(store)
    for state in (State.RELEASING, State.RELEASED):
        store.record(entry_id, Event(STORED, "jo", state, (ANN,)))
    notifier(store, mails(server, summary=RECIPIENTS)).work(MORNING)
    found = {one.recipients[0]: text(one) for one in server.messages}
    assert "State:   released;" in found["<ann@example.com>"]
    assert "State:   in quarantine, kept until 2026-10-21;" in found["<bob@example.org>"]


def test_receipts(store: Store, server: FakeDelivery) -> None:
    """With a key a mail has the receipt of a release, which a verifier accepts, for a message that was not scanned."""
    key = Key("first", bytes(32))
    stored(store, recipients=(ANN,), subject="Grüße 日本語")
    notifier(store, mails(server, RECIPIENTS), key=key).work(STORED + 1)
    head, _, body = server.messages[0].content.partition(b"\r\n\r\n")
    headers = parse_head(head)
    assert headers[0][0] == RECEIPT_HEADER.encode()
    digest = hashlib.sha256(body).digest()
    checked = verify_receipt((key,), headers, lambda: digest, STORED + 2, DAY)
    assert checked.receipt is ReceiptResult.VALID
    assert checked.claim == Claim(int(STORED + 1), Outcome.UNSCANNED, 0, AcceptedBy.RELEASE)
    assert not checked.claim.curable


def test_templates_of_the_site(store: Store, server: FakeDelivery, tmp_path: Path) -> None:
    """The site's templates are used; a broken one is reported, and the mail goes out with ours."""
    (tmp_path / "notice.txt").write_text("Subject: Ours\n\nHello\n")
    (tmp_path / "notice.html").write_text("{{ broken")
    lines = list[str]()
    stored(store)
    settings = mails(server, RECIPIENTS, templates=str(tmp_path))
    notifier(store, settings, broken=lines.append).work(STORED + 1)
    assert [read(one)["Subject"] for one in server.messages] == ["Ours", "Ours"]
    assert "in quarantine" in server.messages[0].content.decode()
    assert lines == ["notice.html, line 1: unexpected end of template, expected 'end of print statement'."]


def test_many_recipients(store: Store, server: FakeDelivery) -> None:
    """A call sends a bounded number of mails; the next ones send the others."""
    stored(store, recipients=tuple(b"<r%d@example.org>" % number for number in range(120)))
    work = notifier(store, mails(server, summary=RECIPIENTS))
    assert [len(work.work(MORNING + number)) for number in range(4)] == [50, 50, 20, 0]
    assert len(set(recipients(server))) == 120


_KEEPER = """
import sys
from pathlib import Path
from datetime import time
from miltscan.quarantine.audience import AreaMails, Told
from miltscan.quarantine.notifier import Notifier
from miltscan.quarantine.post import Mails
from miltscan.quarantine.store import Store
from miltscan.quarantine.templates import Sender
folder, port, now = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
areas = {"default": AreaMails(Told.of("recipients"), Told.of("recipients"), 86400.0)}
mails = Mails(areas, (), Sender("p@h.example", "h.example"), ("127.0.0.1", port), 30.0, time(6), 100)
Notifier(Store(folder), mails, now).work(now)
"""


def keeper(store: Store, server: FakeDelivery, now: float) -> subprocess.Popen[bytes]:
    """A process that works once."""
    command = [sys.executable, "-c", _KEEPER, store.files.directory, server.port, now]
    return subprocess.Popen([*map(str, command)], env={**os.environ, "TZ": "UTC"})


@pytest.mark.parametrize(("now", "kind"), [(STORED + 1, "notice"), (MORNING, "summary")])
def test_killed_while_sending(store: Store, server: FakeDelivery, now: float, kind: str) -> None:
    """A keeper killed before the reply sends the others to its successor, and that one to nobody again."""
    stored(store)
    server.may_reply.clear()
    process = keeper(store, server, now)
    assert server.at_dot.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.may_reply.set()
    for _ in range(2):
        assert keeper(store, server, now + 30).wait() == 0
    assert sorted(recipients(server)) == ["<ann@example.com>", "<bob@example.org>"]
    if kind == "summary":
        lines = (store.files.directory / "summaries" / "2026-09-21").read_text().splitlines()
        assert [json.loads(line).get("step") for line in lines[1:]] == ["sending", "sending", "sent", None]


def test_killed_before_it_is_recorded(store: Store, server: FakeDelivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent before it is on disk that it will be."""
    stored(store, recipients=(ANN,))
    work = notifier(store, mails(server, RECIPIENTS, RECIPIENTS))

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "record", dies)
        with pytest.raises(KeyboardInterrupt):
            work.work(STORED + 1)
    assert server.messages == []
    assert len(notifier(store, mails(server, RECIPIENTS, RECIPIENTS)).work(STORED + 2)) == 1
