"""Late detections: noted once a day, looked up, and told each administrator once, whatever dies in between."""

import time
from collections.abc import Iterator
from datetime import date, timedelta
from datetime import time as clock
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.archived import AcceptedMail, Detected
from miltscan.errors import StoreError
from miltscan.quarantine import late
from miltscan.quarantine.archive import DigestArchive, utc_day
from miltscan.quarantine.audience import Addressee, MailStep
from miltscan.quarantine.late import LateJournal, prune_late
from miltscan.quarantine.late_notices import LateNotices
from miltscan.quarantine.post import Mails, Post
from miltscan.quarantine.templates import Sender
from tests.fakes.delivery import FakeDelivery, fake_delivery

NOW = 1_790_000_000.0
DAY = 86400.0
A, B = (bytes([number]) * 32 for number in range(2))
ROOT, OTHER = b"root@example.org", b"other@example.org"


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


def detected(digest: bytes = A, **changes: Any) -> Detected:  # noqa: ANN401 - any field
    """Something that was detected now."""
    return Detected(digest, "Test.Late", "4B9", NOW)._replace(**changes)


def opened(journal: LateJournal) -> list[bytes]:
    """The digests for which something is left to do."""
    return [one.detected.digest for one in journal.open()]


def accepted(folder: Path, *digests: bytes, number: int = 1) -> None:
    """A message that was accepted with these digests."""
    mail = AcceptedMail(NOW - 3600, f"4B{number}", "192.0.2.1", b"<eve@evil.example>", (b"<ann@example.test>",), 1)
    DigestArchive(folder).add([(mail, digests)], utc_day(NOW))


class Keeper:
    """What a keeper has in memory of a folder; a new one is a restart."""

    def __init__(self, folder: Path, server: FakeDelivery, *administrators: bytes, now: float = NOW) -> None:
        sender = Sender("postmaster@mx.example.org", "mx.example.org")
        self.mails = Mails({}, administrators, sender, server.server, 30.0, clock(6), 2)
        self.journal = LateJournal(folder, now)
        self.notices = LateNotices(DigestArchive(folder), self.journal)
        self.post = Post(self.mails, None, lambda _: None)

    def work(self, now: float = NOW) -> list[tuple[bytes, MailStep]]:
        """Look up, and send; the results."""
        self.notices.look_up()
        return [(one.addressee.address, one.step) for one in self.notices.send(self.post, self.mails, now)]


def test_a_digest_is_noted_once_a_day(tmp_path: Path) -> None:
    """Also after a restart, and again on the next day; yesterday's are still open."""
    journal = LateJournal(tmp_path, NOW)
    assert journal.note([detected(), detected(B), detected()], NOW) == 0
    assert journal.note([detected(signature="Other")], NOW) == 0
    again = LateJournal(tmp_path, NOW)
    assert again.note([detected()], NOW) == 0
    assert [one.detected for one in again.open()] == [detected(), detected(B)]
    again.note([detected()], NOW + DAY)
    assert opened(again) == [A, B, A]
    again.finish(again.open()[0])
    again.note([], NOW + 2 * DAY)
    assert opened(again) == [A]
    assert opened(LateJournal(tmp_path, NOW + DAY)) == [B, A]
    assert (tmp_path / "digests" / "2026-09-21.late").stat().st_mode & 0o777 == 0o600


def test_torn_and_foreign_lines_are_skipped(tmp_path: Path) -> None:
    """As if they had not been written; what follows is read."""
    journal = LateJournal(tmp_path, NOW)
    journal.note([detected()], NOW)
    file = tmp_path / "digests" / "2026-09-21.late"
    file.write_bytes(b'[]\n{"digest": 1}\n{"digest": "zz"}\n{"digest": "00", "done": true}\n' + file.read_bytes()[:-1])
    assert opened(LateJournal(tmp_path, NOW)) == [A]
    file.write_bytes(file.read_bytes() + b'\n{"digest": "' + A.hex().encode())
    LateJournal(tmp_path, NOW).note([detected(B)], NOW)
    assert opened(LateJournal(tmp_path, NOW)) == [A, B]


def test_a_day_has_room_for_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Malware that differs in each message fills neither memory nor disk; what is left out is counted."""
    monkeypatch.setattr(late, "MOST_A_DAY", 3)
    journal = LateJournal(tmp_path, NOW)
    assert journal.note([detected(bytes([number]) * 32) for number in range(5)], NOW) == 2
    assert journal.note([detected(b"x" * 32), detected()], NOW) == 1
    assert journal.note([detected(b"x" * 32)], NOW + DAY) == 0


def test_a_journal_that_cannot_be_used(tmp_path: Path) -> None:
    """The error names the folder."""
    (tmp_path / "digests").write_text("no folder")
    with pytest.raises(StoreError, match=r"archive .*digests: "):
        LateJournal(tmp_path, NOW).note([detected()], NOW)


def test_old_journals_are_removed(tmp_path: Path) -> None:
    """With the days of the archive; other files stay."""
    for days in range(4):
        LateJournal(tmp_path, NOW).note([detected()], NOW + days * DAY)
    (tmp_path / "digests" / "notes.late").touch()
    prune_late(tmp_path, date(2026, 9, 21) + timedelta(days=2))
    left = sorted(path.name for path in (tmp_path / "digests").iterdir())
    assert left == ["2026-09-23.late", "2026-09-24.late", "notes.late"]
    prune_late(tmp_path / "none", date.max)


def test_a_notice_names_the_recipients(tmp_path: Path, server: FakeDelivery) -> None:
    """One for each administrator, about what was delivered; what was not is done without one."""
    accepted(tmp_path, A)
    keeper = Keeper(tmp_path, server, ROOT, OTHER)
    keeper.journal.note([detected(), detected(B)], NOW)
    assert keeper.work() == [(ROOT, MailStep.SENT), (OTHER, MailStep.SENT)]
    assert keeper.work() == []
    assert keeper.journal.open() == []
    mail = message_from_bytes(server.messages[0].content, policy=policy.default)
    assert mail["Subject"] == "Detected after delivery: Test[.]Late, 1 message"
    body = mail.get_body(("plain",))
    assert body is not None
    text = body.get_content().replace("\r\n", "\n")
    assert "2026-09-21 13:13  4B1\n  Sender:  eve@evil[.]example\n  To:      ann@example[.]test\n" in text
    assert f"SHA-256:   {A.hex()}" in text
    assert server.messages[0].sender.startswith("FROM:<>")


def test_a_restart_repeats_nothing(tmp_path: Path, server: FakeDelivery) -> None:
    """A notice that was begun is not sent again; one that was not is sent by the next keeper."""
    accepted(tmp_path, A)
    Keeper(tmp_path, server).journal.note([detected()], NOW)
    first = Keeper(tmp_path, server, ROOT)
    assert first.work() == [(ROOT, MailStep.SENT)]
    Keeper(tmp_path, server).journal.note([detected(B)], NOW)
    accepted(tmp_path, B, number=2)
    begun = Keeper(tmp_path, server, ROOT)
    (one,) = begun.journal.open()
    begun.journal.step(one, MailStep.SENDING, Addressee(ROOT, administrator=True), NOW)
    assert Keeper(tmp_path, server, ROOT, OTHER).work() == [(OTHER, MailStep.SENT)]
    assert Keeper(tmp_path, server, ROOT, OTHER).work() == []


def test_a_refused_notice_is_tried_again(tmp_path: Path, server: FakeDelivery) -> None:
    """After a pause, for a day; then it is given up."""
    accepted(tmp_path, A)
    server.reply = "451 4.3.0 later"
    keeper = Keeper(tmp_path, server, ROOT)
    keeper.journal.note([detected()], NOW)
    assert keeper.work() == [(ROOT, MailStep.REFUSED)]
    assert keeper.work(NOW + 200) == []
    keeper = Keeper(tmp_path, server, ROOT)
    assert keeper.work(NOW + 301) == [(ROOT, MailStep.REFUSED)]
    assert keeper.work(NOW + DAY + 1) == [(ROOT, MailStep.DROPPED)]
    assert keeper.journal.open() == []


def test_the_number_of_notices_is_bounded(tmp_path: Path, server: FakeDelivery) -> None:
    """By the hour; the others follow."""
    many = [bytes([number]) * 32 for number in range(3)]
    accepted(tmp_path, *many)
    keeper = Keeper(tmp_path, server, ROOT)
    keeper.journal.note(map(detected, many), NOW)
    assert len(keeper.work()) == 2
    assert keeper.work(NOW + 3000) == []
    assert len(keeper.work(NOW + 3601)) == 1


def test_without_administrators_the_log_remains(tmp_path: Path, server: FakeDelivery) -> None:
    """Nothing is left to do after the lookup."""
    accepted(tmp_path, A)
    keeper = Keeper(tmp_path, server)
    keeper.journal.note([detected()], NOW)
    (one,) = keeper.notices.look_up()
    assert one.found
    assert keeper.work() == []
    assert keeper.journal.open() == []
