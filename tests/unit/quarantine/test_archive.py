"""The files of the archive: found again whatever was torn, in bounds, private, and every byte of an address kept."""

import os
import stat
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.archived import AcceptedMail
from miltscan.errors import StoreError
from miltscan.quarantine import archive
from miltscan.quarantine.archive import DigestArchive, EarlierMail, utc_day

DAY = date(2026, 9, 21)
A, B, C = (bytes([number]) * 32 for number in range(3))


def mail(number: int = 1, **changes: Any) -> AcceptedMail:  # noqa: ANN401 - any field
    """An accepted message; the number is in its queue ID."""
    addresses = (b"<ann@example.test>", bytes(range(1, 256)))
    return AcceptedMail(1_790_000_000.5, f"4B{number}", "192.0.2.1", b"<\xff>", addresses, 2)._replace(**changes)


def found(one: DigestArchive, *digests: bytes) -> dict[bytes, EarlierMail]:
    """What a search returns."""
    return one.search(digests, besides={})


@pytest.fixture
def folder(tmp_path: Path) -> DigestArchive:
    """An empty archive."""
    return DigestArchive(tmp_path / "quarantine")


def test_who_had_a_digest(folder: DigestArchive) -> None:
    """All messages with it, the oldest first, of every day; the one in which it is detected is left out."""
    folder.add([(mail(1), [A, B]), (mail(2), [C])], DAY)
    folder.add([(mail(3, recipients_count=500), [B])], date(2026, 9, 22))
    assert found(folder, A, B, b"x" * 32) == {
        A: EarlierMail((mail(1),), 1),
        B: EarlierMail((mail(1), mail(3, recipients_count=500)), 2),
    }
    assert folder.search([B], besides={B: "4B1"}) == {B: EarlierMail((mail(3, recipients_count=500),), 1)}


def test_many_messages_are_counted(folder: DigestArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones are returned, and pieces of the file are no limit."""
    monkeypatch.setattr(archive, "_PIECE", 48)
    folder.add([(mail(number), [A, B]) for number in range(250)], DAY)
    (one,) = found(folder, B).values()
    assert (len(one.deliveries), one.total, one.deliveries[99].queue_id) == (100, 250, "4B99")


def test_an_archive_that_is_not_there_has_nothing(folder: DigestArchive) -> None:
    """Nothing was accepted yet."""
    assert (found(folder, A), folder.size(), folder.days(), folder.prune(DAY, 0)) == ({}, 0, [], [])


def test_the_files_are_private(folder: DigestArchive) -> None:
    """They name who received what from whom."""
    folder.add([(mail(), [A])], DAY)
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.folder.iterdir()} == {0o600}


@pytest.mark.parametrize("torn", range(1, 24))
def test_a_crash_costs_what_it_tore(folder: DigestArchive, torn: int) -> None:
    """At any byte of a line or record: what came before is found, and what comes after, too."""
    folder.add([(mail(1), [A])], DAY)
    folder.add([(mail(2), [B])], DAY)
    for name in ("mail", "parts"):
        path = folder.folder / f"2026-09-21.{name}"
        os.truncate(path, path.stat().st_size - torn)
    assert found(folder, A, B) == {A: EarlierMail((mail(1),), 1)}
    folder.add([(mail(3), [C])], DAY)
    assert found(folder, A, B, C) == {A: EarlierMail((mail(1),), 1), C: EarlierMail((mail(3),), 1)}


def test_a_record_whose_line_was_torn_is_none(folder: DigestArchive) -> None:
    """The disk may have written the records first."""
    folder.add([(mail(1), [A])], DAY)
    path = folder.folder / "2026-09-21.mail"
    os.truncate(path, path.stat().st_size - 1)
    path.write_bytes(path.read_bytes()[:-9])
    assert found(folder, A) == {}


def test_a_full_disk_takes_all_or_nothing(folder: DigestArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun is cut off, and later messages are found."""
    folder.add([(mail(1), [A])], DAY)
    before, calls = folder.size(), list[int]()
    real = os.write

    def full(descriptor: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[: len(data) // 2 + 1])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match=r"digests: No space left on device"):
        folder.add([(mail(2), [B])], DAY)
    monkeypatch.undo()
    assert folder.size() == before
    folder.add([(mail(3), [C])], DAY)
    assert found(folder, A, B, C).keys() == {A, C}


def test_some_of_the_disk_stays_free(folder: DigestArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quarantine may be on it: mail that must be kept is worth more."""
    folder.add([(mail(1), [A])], DAY)
    space = os.statvfs(folder.folder)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*space[:2], 1000, 49, 49, *space[5:])))
    with pytest.raises(StoreError, match="less than 5 %"):
        folder.add([(mail(2), [B])], DAY)


def test_old_days_are_removed(folder: DigestArchive) -> None:
    """Those before a day, and the oldest while all are too large; the last one goes as well."""
    days = [date(2026, 9, number) for number in range(1, 6)]
    for day in days:
        folder.add([(mail(), [A])], day)
    assert folder.prune(days[2], 10**9) == days[:2]
    assert folder.days() == days[2:]
    assert folder.prune(days[0], folder.size() - 1) == days[2:3]
    assert folder.prune(days[0], 0) == days[3:]
    assert [*folder.folder.iterdir()] == []


def test_a_link_in_the_place_of_a_file_is_not_followed(folder: DigestArchive, tmp_path: Path) -> None:
    """Nothing outside of the folder is written."""
    folder.add([(mail(), [A])], DAY)
    (folder.folder / "2026-09-22.mail").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="digests: "):
        folder.add([(mail(), [A])], date(2026, 9, 22))
    assert not (tmp_path / "elsewhere").exists()


def test_a_day_is_one_of_utc() -> None:
    """Whatever the time zone of the host is."""
    assert utc_day(1_790_000_000.0) == DAY
