"""The pipeline that stores: the MTA's answer follows from what is on disk, and no wait is without a bound."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from miltscan.core.action import Accept, ActionName, Choice, Discard, Quarantine
from miltscan.core.message import PREFACE, Message
from miltscan.core.policy import not_kept
from miltscan.core.report import Kept, Report
from miltscan.core.verdict import Verdict
from miltscan.errors import MtaGoneError, StoreError
from miltscan.scanning import storing
from miltscan.scanning.pipeline import Pipeline, scan_slots
from miltscan.scanning.spool import Spool
from miltscan.scanning.storing import Keep, Storing
from tests.fakes.engine import ScriptedEngine
from tests.fakes.messages import message, policy

BODY = b"Subject: test\r\n\r\nbody\r\n"
INFECTED = Verdict.infected("fake", "Eicar")
VIRUSES = Choice(ActionName.QUARANTINE, "viruses")


@pytest.fixture
def arrived() -> Iterator[Message]:
    """A whole message in a spool."""
    spool = Spool(Path(), 1 << 20)
    spool.write(PREFACE + BODY)
    yield message(content=spool, size=len(BODY), queue_id="Q")
    spool.close()


def stores(keep: Keep, choice: Choice = VIRUSES, verdict: Verdict = INFECTED, patience: float = 0.0) -> Storing:
    """A pipeline with this choice for infected mail, and `keep` as its store."""
    pipeline = Pipeline([ScriptedEngine(verdict)], policy(on_infected=choice), scan_slots(1), 60.0, 0.0)
    return Storing(pipeline, keep, patience, lambda message: message.queue_id == "probe")


def nothing() -> None:
    """No sign of life."""


def never(_report: Report, _area: str, _content: int) -> str:
    """A store in which nothing must be kept."""
    raise AssertionError


def refuses(_report: Report, _area: str, _content: int) -> str:
    """A store whose disk is full."""
    raise StoreError("disk full")


@pytest.mark.parametrize("action", [ActionName.QUARANTINE, ActionName.DISCARD])
def test_a_message_is_stored_before_the_answer(arrived: Message, action: ActionName) -> None:
    """The store receives the area and all bytes; the entry is in the report."""
    kept: list[tuple[str, bytes]] = []

    def keep(report: Report, area: str, content: int) -> str:
        kept.append((area, os.pread(content, report.message.size, len(PREFACE))))
        return "entry"

    report = stores(keep, Choice(action, "viruses")).process(arrived, nothing)
    assert kept == [("viruses", BODY)]
    assert report.decision.action in {Quarantine("viruses"), Discard("viruses")}
    assert report.kept
    assert (report.kept.area, report.kept.entry, report.kept.error) == ("viruses", "entry", "")


@pytest.mark.parametrize(
    ("choice", "verdict"),
    [(VIRUSES, Verdict.clean("fake")), (Choice(ActionName.DISCARD), INFECTED), (Choice(ActionName.REJECT), INFECTED)],
)
def test_only_what_has_an_area_is_stored(arrived: Message, choice: Choice, verdict: Verdict) -> None:
    """Accepted, refused and dropped mail never reaches the store."""
    assert stores(never, choice, verdict).process(arrived, nothing).kept is None


@pytest.mark.parametrize("action", [ActionName.QUARANTINE, ActionName.DISCARD])
def test_a_probe_is_not_stored(arrived: Message, action: ActionName) -> None:
    """It reaches the store only at a delivery side, where it is dropped."""
    report = stores(never, Choice(action, "viruses")).process(arrived._replace(queue_id="probe"), nothing)
    assert (report.decision.action.name, report.kept) == (action, None)


@pytest.mark.parametrize("action", [ActionName.QUARANTINE, ActionName.DISCARD])
def test_what_cannot_be_stored_stays_with_its_client(arrived: Message, action: ActionName) -> None:
    """The decision is a tempfail, and the report says why."""
    report = stores(refuses, Choice(action, "viruses")).process(arrived, nothing)
    assert report.decision == not_kept("Q")
    assert report.kept
    assert report.kept == Kept("viruses", "", report.kept.seconds, "disk full")


def test_an_incomplete_message_is_never_stored(arrived: Message) -> None:
    """A spool that is full holds only a part of the message."""
    report = stores(never).process(arrived._replace(size=len(BODY) + 1), nothing)
    assert report.decision == not_kept("Q")
    assert report.kept
    assert "of the message's 24 bytes only 23" in report.kept.error


def test_a_bug_of_the_store_is_raised(arrived: Message) -> None:
    """The caller tempfails it, with a traceback in the log."""

    def keep(_report: Report, _area: str, _content: int) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stores(keep).process(arrived, nothing)


@pytest.fixture
def blocked() -> Iterator[Callable[[Report, str, int], str]]:
    """A store whose disk hangs until the test ends."""
    release = threading.Event()

    def keep(_report: Report, _area: str, content: int) -> str:
        release.wait()
        return os.pread(content, len(BODY), len(PREFACE)).decode()

    yield keep
    release.set()


def test_a_disk_that_hangs_is_a_tempfail(arrived: Message, blocked: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    """The MTA sees progress, and the answer comes within the bound."""
    monkeypatch.setattr(storing, "STORE_WAIT", 0.5)
    monkeypatch.setattr(storing, "_TICK", 0.01)
    ticks: list[None] = []
    report = stores(blocked).process(arrived, lambda: ticks.append(None))
    assert report.decision == not_kept("Q")
    assert report.kept
    assert report.kept.error == "quarantine: the disk takes too long"
    assert len(ticks) > 1


def test_the_bytes_live_as_long_as_the_store_reads_them(arrived: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that is closed, and one that serves the next message, leave the bytes to a slow disk as they were."""
    monkeypatch.setattr(storing, "STORE_WAIT", 0.0)
    go, read = threading.Event(), threading.Event()
    found: list[bytes] = []

    def keep(_report: Report, _area: str, content: int) -> str:
        go.wait()
        found.append(os.pread(content, len(BODY), len(PREFACE)))
        read.set()
        return ""

    stores(keep).process(arrived, nothing)
    spool = arrived.content
    assert isinstance(spool, Spool)
    spool.recycle()
    following = Spool(Path(), 1 << 20)
    following.write(b"x" * 1000)
    go.set()
    assert read.wait(10)
    following.close()
    assert found == [BODY]


def test_only_so_many_messages_wait_for_a_disk(
    arrived: Message, blocked: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is a tempfail at once; after an MTA that has gone its place is still taken, as the disk is."""
    monkeypatch.setattr(storing, "_places", threading.BoundedSemaphore(1))
    monkeypatch.setattr(storing, "_TICK", 0.01)

    def gone() -> None:
        raise MtaGoneError

    with pytest.raises(MtaGoneError):
        stores(blocked).process(arrived, gone)
    report = stores(never).process(arrived, nothing)
    assert report.kept
    assert "already wait for the disk" in report.kept.error


def test_a_message_that_needs_no_store_is_the_report_of_the_pipeline(arrived: Message) -> None:
    """Nothing of it is changed."""
    pipeline = stores(never, verdict=Verdict.clean("fake"))
    assert pipeline.process(arrived, nothing).decision.action == Accept()
