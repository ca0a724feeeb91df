"""The lists in force in a process: changes, faults and expiry, one look at a time."""

import hashlib
import os
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from miltscan.core.listlines import FIRST
from miltscan.core.message import PREFACE
from miltscan.scanning.listfile import ListFile
from miltscan.scanning.listwatch import ListWatch, message_digest
from miltscan.telemetry import log, mail_metrics
from miltscan.telemetry.family import Family
from tests.fakes.list_entries import listed
from tests.fakes.messages import message

NEW = listed(list_id="", signature="Win.X")
Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged."""
    with capture_logs() as found:
        yield found


@pytest.fixture
def file(tmp_path: Path) -> ListFile:
    """A file that does not exist yet."""
    return ListFile(tmp_path / "lists.jsonl")


def watching(file: ListFile) -> ListWatch:
    """A watch of it that looks when it is told to."""
    return ListWatch(str(file.path), log.logger)


def value(family: Family[Any], *labels: str) -> object:
    """The value of a metric."""
    return next(sample.value for metric in family.child(*labels).collect() for sample in metric.samples)


def events(lines: Lines) -> list[str]:
    """The names of the events since the last call."""
    names = [line["event"] for line in lines]
    lines.clear()
    return names


def signatures(watch: ListWatch) -> list[str]:
    """What the lists in force name."""
    return [one.signature for one in watch.current.entries]


def test_a_change_is_in_force_after_the_next_look(file: ListFile, lines: Lines) -> None:
    """Nothing is read, logged or counted while nothing changes."""
    watch = watching(file)
    assert (watch.consult(message(), lambda: None), events(lines)) == (None, [])
    file.add(NEW)
    watch.look()
    assert (signatures(watch), lines[0]["allow"], lines[0]["deny"], events(lines)) == (["Win.X"], 1, 0, ["lists_read"])
    assert watch.consult(message(), lambda: None) is not None
    known = watch.current
    watch.look()
    assert (watch.current is known, events(lines)) == (True, [])
    assert value(mail_metrics.LIST_ENTRIES, "allow") == 1


def test_a_file_that_vanishes_keeps_the_last_lists(file: ListFile, lines: Lines) -> None:
    """One line, however long it lasts; when it is back, it counts again, changed or not."""
    file.add(NEW)
    watch = watching(file)
    events(lines)
    away = file.path.rename(file.path.with_suffix(".away"))
    for _ in range(3):
        watch.look()
    assert (signatures(watch), lines[0]["why"]) == (["Win.X"], "the file has vanished")
    assert (events(lines), value(mail_metrics.LISTS_STALE)) == (["lists_fail"], 1)
    away.rename(file.path)
    watch.look()
    assert (events(lines), value(mail_metrics.LISTS_STALE)) == (["lists_read"], 0)


@pytest.mark.parametrize("content", [b"", b"nonsense\n"], ids=["empty", "another format"])
def test_a_file_that_cannot_be_used_keeps_the_last_lists(file: ListFile, lines: Lines, content: bytes) -> None:
    """An empty file is what a crash or a mistake leaves."""
    file.add(NEW)
    watch = watching(file)
    events(lines)
    file.path.write_bytes(content)
    watch.look()
    watch.look()
    assert (signatures(watch), events(lines)) == (["Win.X"], ["lists_fail"])
    file.path.write_bytes(FIRST)
    watch.look()
    assert (signatures(watch), events(lines)) == ([], ["lists_read"])


def test_broken_lines_are_named_once(file: ListFile, lines: Lines) -> None:
    """A later change logs only new ones."""
    watch = watching(file)
    file.add(NEW)
    with file.path.open("ab") as raw:
        raw.write(b"broken\n")
    watch.look()
    (line,) = [one for one in lines if one["event"] == "lists_broken"]
    assert (line["number"], line["lines"], events(lines)) == (1, "3", ["lists_read", "lists_broken"])
    file.add(NEW)
    watch.look()
    assert (events(lines), value(mail_metrics.LISTS_BROKEN), len(watch.current.entries)) == (["lists_read"], 1, 2)


def test_expiry_is_recorded(file: ListFile, lines: Lines) -> None:
    """Of two workers one logs it."""
    file.add(listed(list_id="", sender="@a", until=time.time() - 1))
    watches = [watching(file), watching(file)]
    assert events(lines) == ["lists_read", "list_expired", "lists_read"]
    for watch in watches:
        watch.look()
        assert signatures(watch) == []
    assert b'"expired"' in file.path.read_bytes()


def test_an_expiry_that_cannot_be_recorded(file: ListFile, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk fills no log, and the lists stay in force."""

    def full(_descriptor: int, _line: bytes) -> None:
        raise OSError(28, os.strerror(28))

    file.add(listed(list_id="", sender="@a", until=time.time() - 1))
    monkeypatch.setattr("miltscan.scanning.listfile.append", full)
    watch = watching(file)
    for _ in range(3):
        watch.look()
    assert events(lines) == ["lists_read", "lists_fail"]
    assert value(mail_metrics.LISTS_STALE) == 0


def test_without_a_path_there_are_no_lists() -> None:
    """`lists.file` may be empty; nothing is looked at."""
    watch = ListWatch("", log.logger)
    watch.start()
    watch.look()
    assert watch.consult(message(), lambda: None) is None


def test_the_digest_covers_the_message_as_received(tmp_path: Path) -> None:
    """Headers and body without the preface of the spool, as an entry of the quarantine has it."""
    data = b"Subject: a\r\n\r\n" + os.urandom(600_000)
    path = tmp_path / "spool"
    path.write_bytes(PREFACE + data)
    ticks: list[int] = []
    with path.open("rb") as content:
        assert message_digest(message(content=content), lambda: ticks.append(1)) == hashlib.sha256(data).hexdigest()
    assert len(ticks) == 3
