"""Sources of values in a process: changes and faults, one look at a time."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from miltscan.core.lookup import Kind, Source
from miltscan.core.patterns import pattern
from miltscan.errors import SourceError
from miltscan.scanning.sources import Sources
from miltscan.telemetry import log, mail_metrics
from tests.unit.scanning.test_listwatch import Lines, events, value


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged."""
    with capture_logs() as found:
        yield found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one sender."""
    path = tmp_path / "partners"
    path.write_text("@a.example\n")
    return path


def knows(source: Source, domain: str) -> bool:
    """Whether it names an address of this domain."""
    return bool(source.has(Kind.ADDRESS, f"x@{domain}"))


def put(path: Path, text: str) -> None:
    """Another content, in a new file as a careful program does it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def test_a_change_is_read_when_it_has_settled(file: Path, lines: Lines) -> None:
    """The first look sees that something changes, the second one that it is over."""
    sources = Sources("text:/none", log.logger)
    source = sources.open(f"file:{file}", pattern)
    put(file, "@b.example\n")
    sources.look()
    assert (knows(source, "a.example"), events(lines)) == (True, [])
    sources.look()
    assert (knows(source, "a.example"), knows(source, "b.example"), events(lines)) == (False, True, ["source_read"])
    sources.look()
    assert events(lines) == []


def a_fifo(path: Path) -> None:
    """Something that a reader would wait for."""
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (lambda path: path.unlink(), "has vanished"),
        (lambda path: put(path, ""), "is empty; if that is meant, write a comment"),
        (lambda path: put(path, "b.example\n"), "line 1: expected an address"),
        (lambda path: put(path, "\x00\xff"), "line 1: expected an address"),
        (lambda path: (path.unlink(), path.mkdir()), "expected a regular file"),
        (a_fifo, "expected a regular file"),
    ],
)
def test_a_fault_keeps_the_last_content(broken: object, why: str, file: Path, lines: Lines) -> None:
    """It is logged once and counted, and its end is logged."""
    assert callable(broken)
    sources = Sources("text:/none", log.logger)
    source = sources.open(f"file:{file}", pattern)
    broken(file)
    for _ in range(3):
        sources.look()
    assert why in lines[0]["why"]
    assert (knows(source, "a.example"), events(lines), value(mail_metrics.SOURCES_STALE)) == (True, ["source_fails"], 1)
    if file.is_dir():
        file.rmdir()
    put(file, "@c.example\n")
    for _ in range(3):
        sources.look()
    assert (knows(source, "c.example"), events(lines), value(mail_metrics.SOURCES_STALE)) == (True, ["source_read"], 0)


def test_a_source_that_cannot_be_read_at_the_start(file: Path, tmp_path: Path) -> None:
    """One line that names it and what is expected."""
    sources = Sources(f"text:{tmp_path}/access", log.logger)
    with pytest.raises(SourceError, match=f"file:{file}.none: .* does not exist; create it, or change the rule"):
        sources.open(f"file:{file}.none", pattern)
    with pytest.raises(SourceError, match=f"text:{tmp_path}/access: .* does not exist"):
        sources.open("access:From", pattern)
    file.write_text("x")
    with pytest.raises(SourceError, match="line 1: expected an address"):
        sources.open(f"file:{file}", pattern)


def test_two_conditions_share_a_file(file: Path, lines: Lines) -> None:
    """It is read once for each change, and must be right for both."""

    def short(text: str) -> object:
        if len(text) > len("@a.example"):
            raise ValueError("expected a short one")
        return text

    sources = Sources("text:/none", log.logger)
    one, other = sources.open(f"file:{file}", pattern), sources.open(f"file:{file}", short)
    put(file, "@long.example\n")
    for _ in range(2):
        sources.look()
    assert "line 1: expected a short one" in lines[0]["why"]
    assert knows(one, "a.example")
    assert knows(other, "a.example")


def test_the_source_of_a_map_in_text(tmp_path: Path, lines: Lines) -> None:
    """Sites with a map of text need no tool; each tag is a source of its own."""
    path = tmp_path / "access"
    path.write_text("# ours\nScan:a.example\tOK\nOther:b.example   SKIP\n")
    sources = Sources(f"text:{path}", log.logger)
    scan, other = sources.open("access:Scan", pattern), sources.open("access:Other", pattern)
    assert [knows(scan, "a.example"), knows(other, "a.example"), knows(other, "b.example")] == [True, False, False]
    put(path, "Other:a.example\tOK\n")
    for _ in range(2):
        sources.look()
    assert (knows(scan, "a.example"), knows(other, "a.example"), events(lines)) == (False, True, ["source_read"])
