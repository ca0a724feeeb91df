"""When summaries are due, and the journal of what was sent."""

import errno
import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from datetime import time as clock
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from miltscan.errors import StoreError
from miltscan.quarantine.audience import Addressee, AddresseeKey, MailStep
from miltscan.quarantine.journal import SETTLING, Journal, Journals, Window, due_window

BERLIN = ZoneInfo("Europe/Berlin")
DAY, WEEK = 86400.0, 7 * 86400.0
ANN, BOB = Addressee(b"<ann@example.com>", administrator=False), Addressee(b"<bob@example.org>", administrator=False)
WINDOW = Window("2026-09-21", 1000.0, 2000.0)
NEXT = Window("2026-09-22", 2000.0, 3000.0)


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host is in a zone with summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    """A local time in seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def test_the_first_window() -> None:
    """The first summary is of the day before it, from the time of the setting on."""
    window = due_window(at("2026-11-29 06:01"), clock(6), None)
    assert window == Window("2026-11-29", at("2026-11-28 06:00"), at("2026-11-29 06:00"))
    assert due_window(at("2026-11-29 06:00:30"), clock(6), window and window._replace(day="2026-11-28")) is None
    before = due_window(at("2026-11-29 06:00:59"), clock(6), None)
    assert before == Window("2026-11-28", at("2026-11-27 06:00"), at("2026-11-28 06:00"))


def windows(start: str, days: int, setting: clock) -> list[Window]:
    """The windows that a process sees that looks every ten minutes."""
    found: list[Window] = []
    for minutes in range(0, days * 1440, 10):
        window = due_window(at(start) + 60 * minutes, setting, found[-1] if found else None)
        found += [window] if window else []
    return found


@pytest.mark.parametrize("setting", [clock(0), clock(2, 30), clock(3), clock(6), clock(23, 59)])
@pytest.mark.parametrize("start", ["2026-03-27 12:00", "2026-10-23 12:00"])
def test_summer_time(start: str, setting: clock) -> None:
    """Where clocks are set forward or back there is one window a day, and each begins where the last one ended."""
    found = windows(start, 5, setting)
    assert [window.day for window in found] == sorted({window.day for window in found})
    assert len(found) == 6
    for before, after in pairwise(found):
        assert before.until == after.since
        assert abs(after.until - after.since - DAY) <= 3600


def test_a_changed_setting() -> None:
    """Another time of day makes a longer or shorter window, never a second one on the same day."""
    morning = due_window(at("2026-11-29 07:00"), clock(6), None)
    assert due_window(at("2026-11-29 19:00"), clock(18), morning) is None
    evening = due_window(at("2026-11-30 19:00"), clock(18), morning)
    assert evening == Window("2026-11-30", at("2026-11-29 06:00"), at("2026-11-30 18:00"))
    assert due_window(at("2026-12-01 07:00"), clock(6), evening) == Window(
        "2026-12-01", at("2026-11-30 18:00"), at("2026-12-01 06:00")
    )


def test_a_pause_of_the_service() -> None:
    """After a pause the summary begins where the last one ended, a week ago at most."""
    last = Window("2026-11-20", at("2026-11-19 06:00"), at("2026-11-20 06:00"))
    now = at("2026-11-24 12:00")
    assert due_window(now, clock(6), last) == Window("2026-11-24", last.until, at("2026-11-24 06:00"))
    late = due_window(now + 30 * DAY, clock(6), last)
    assert late is not None
    assert late.until - late.since == WEEK


def test_a_clock_that_goes_back() -> None:
    """No window is seen twice where a clock is set back."""
    last = due_window(at("2026-11-29 07:00"), clock(6), None)
    assert due_window(at("2026-11-28 07:00"), clock(6), last) is None


def test_a_zone_further_west() -> None:
    """No window ends before the last one did, whatever the days are called."""
    last = Window("2026-11-28", at("2026-11-28 06:00"), at("2026-11-29 07:00"))
    assert due_window(at("2026-11-29 06:30"), clock(6), last) is None


def test_a_message_that_is_being_stored() -> None:
    """A window waits until what is being stored at its end has its entry."""
    last = due_window(at("2026-11-28 07:00"), clock(6), None)
    end = at("2026-11-29 06:00")
    assert due_window(end + SETTLING - 1, clock(6), last) is None
    assert due_window(end + SETTLING, clock(6), last) is not None


def steps(journal: Journal) -> dict[AddresseeKey, MailStep]:
    """The last step of each mail."""
    return {key: attempt.step for key, attempt in journal.attempts.items()}


def latest(directory: Path) -> Journal:
    """The last journal, read from its file."""
    found = Journals(directory).latest()
    assert found is not None
    return found


def test_the_journal_is_read_again(tmp_path: Path) -> None:
    """Another process finds the window and all steps."""
    journal = Journals(tmp_path).begin(WINDOW)
    journal.record(MailStep.SENDING, ANN, 1000.0, 2001.0)
    journal.record(MailStep.SENT, ANN, 1000.0, 2002.0, "250 ok")
    journal.record(MailStep.SENDING, BOB, 500.0, 2003.0)
    journal.record(MailStep.REFUSED, BOB, 500.0, 2004.0, "450 \u202e no")
    found = latest(tmp_path)
    assert found.window == WINDOW
    assert found.attempts == journal.attempts
    assert steps(found) == {ANN.key: MailStep.SENT, BOB.key: MailStep.REFUSED}
    assert found.since == {ANN.key: 1000.0, BOB.key: 500.0}
    assert not found.done
    found.finish()
    again = latest(tmp_path)
    assert again.done
    assert (tmp_path / "summaries").stat().st_mode & 0o777 == 0o700
    assert found.path.stat().st_mode & 0o777 == 0o600
    assert Journals(tmp_path).latest("2026-09-21") is None


def test_odd_addresses(tmp_path: Path) -> None:
    """Any bytes of an address survive the journal."""
    odd = Addressee(b'<a\xff\r\n"\xc3\xa4@b>', administrator=True)
    Journals(tmp_path).begin(WINDOW).record(MailStep.SENDING, odd, 1000.0, 2001.0)
    found = latest(tmp_path)
    assert steps(found) == {odd.key: MailStep.SENDING}


def test_a_torn_line(tmp_path: Path) -> None:
    """A line that a crash cut off is as if it had not been written, and does not spoil the next one."""
    journal = Journals(tmp_path).begin(WINDOW)
    journal.record(MailStep.SENDING, ANN, 1000.0, 2001.0)
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + b'{"time": 2002.0, "step": "sen')
    found = latest(tmp_path)
    assert steps(found) == {ANN.key: MailStep.SENDING}
    found.record(MailStep.SENDING, BOB, 1000.0, 2003.0)
    found = latest(tmp_path)
    assert steps(found) == {ANN.key: MailStep.SENDING, BOB.key: MailStep.SENDING}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]\n",
        b'{"since": 1}\n',
        b"\xff\n",
        b'{"since": "x", "until": 2}\n',
        b'{"since": 1, "until": 1e999}\n',
        b'{"since": 1, "until": NaN}\n',
        b'{"since": 1, "until": 1' + b"0" * 400 + b"}\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_torn_journal(tmp_path: Path, text: bytes) -> None:
    """A journal without its first line is begun again: no mail had been sent."""
    Journals(tmp_path).begin(WINDOW)
    (tmp_path / "summaries" / NEXT.day).write_bytes(text)
    found = latest(tmp_path)
    assert found.window == WINDOW
    Journals(tmp_path).begin(NEXT)
    found = latest(tmp_path)
    assert found.window == NEXT


def test_lines_of_a_later_version(tmp_path: Path) -> None:
    """Lines that cannot be understood change nothing."""
    journal = Journals(tmp_path).begin(WINDOW)
    with journal.path.open("ab") as file:
        file.write(
            b'[]\n{"step": "sent"}\n{"step": "odd", "to": "a", "since": 1, "time": 1}\n{"to": 3}\n\xff\nnull\n\n'
        )
    journal.record(MailStep.SENDING, ANN, 1000.0, 2001.0)
    found = latest(tmp_path)
    assert steps(found) == {ANN.key: MailStep.SENDING}


def test_old_journals_go(tmp_path: Path) -> None:
    """Journals are kept for some weeks; other files in the folder stay."""
    start = datetime.fromisoformat(WINDOW.day)
    days = [(start + timedelta(days=number)).date().isoformat() for number in (0, 1, 36)]
    journals = Journals(tmp_path)
    (tmp_path / "summaries").mkdir()
    (tmp_path / "summaries" / "2020-01-01.note").touch()
    for day in days:
        journals.begin(WINDOW._replace(day=day))
    assert sorted(path.name for path in (tmp_path / "summaries").iterdir()) == ["2020-01-01.note", *days[1:]]


def test_where_the_next_summary_begins(tmp_path: Path) -> None:
    """Who received a summary gets the next from its end on; who did not, from where that one began; a week at most."""
    before = Journals(tmp_path).begin(WINDOW)
    for step in (MailStep.SENDING, MailStep.SENT):
        before.record(step, ANN, 1000.0, 2001.0)
    for step in (MailStep.SENDING, MailStep.REFUSED):
        before.record(step, BOB, 500.0, 2001.0)
    lost, doubtful = Addressee(b"lost", administrator=False), Addressee(b"doubtful", administrator=False)
    for addressee in (lost, doubtful):
        before.record(MailStep.SENDING, addressee, 500.0, 2001.0)
    before.record(MailStep.DOUBTFUL, doubtful, 500.0, 2001.0)
    other = AddresseeKey(administrator=False, address="other@example.org")
    journal = Journals(tmp_path).begin(NEXT)
    assert [journal.begins(key, before) for key in (ANN.key, BOB.key, other)] == [2000.0, 500.0, 1000.0]
    assert [journal.begins(one.key, before) for one in (lost, doubtful)] == [2000.0, 2000.0]  # it may have arrived
    before.finish()  # every mail was tried, so the others had none
    assert [journal.begins(key, before) for key in (ANN.key, BOB.key, other)] == [2000.0, 500.0, 2000.0]
    assert journal.beginnings(before) == {500.0, 2000.0}
    assert journal.beginnings(None) == {2000.0}
    week = Journals(tmp_path).begin(Window("2026-09-29", 2000.0, 1000.0 + WEEK))
    assert week.begins(BOB.key, before) == 1000.0
    journal.record(MailStep.SENDING, BOB, 500.0, 3001.0)
    assert journal.begins(BOB.key, None) == 500.0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A failure names the folder."""
    (tmp_path / "summaries").touch()
    with pytest.raises(StoreError, match=f"{tmp_path}/summaries: "):
        Journals(tmp_path).begin(WINDOW)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that cannot be written is a failure: without it no mail may be sent."""
    journal = Journals(tmp_path).begin(WINDOW)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        journal.record(MailStep.SENDING, ANN, 1000.0, 2001.0)
    assert journal.attempts == {}
