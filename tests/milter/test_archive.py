"""The archive of a running service: complete over stops and deaths of the keeper, and never in the way of mail."""

import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.fakes.clamd_lies import Scan, honest, unless_canary
from tests.fakes.eicar import EICAR, holds_eicar
from tests.fakes.milter_wire import Code
from tests.fakes.mta import Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, stopped

WORD = b"a program that nobody knows yet\r\n"
RECIPIENT = b"<\xff\xe4@example.test>"


def mail(queue_id: str, body: bytes = WORD) -> Message:
    """A message of one part."""
    return Message(recipients=(RECIPIENT,), body=body, queue_id=queue_id.encode())


def learn(daemon: Daemon) -> None:
    """The engine detects the word from now on."""

    def detects(scan: Scan) -> None:
        content = scan.content()
        known = b"Eicar-Test-Signature FOUND" if holds_eicar(content) else b"OK"
        scan.answer(b"Test.Late FOUND" if WORD in content else known)

    daemon.clamd.behaviour = detects


def begin(own: Fleet, **settings: object) -> Daemon:
    """A service with an archive, whose keeper has begun."""
    daemon = own(archive__digests="7d", **settings)
    daemon.start()
    daemon.wait_ready()
    wait_until(lambda: daemon.metric("keeper_last_round_timestamp_seconds"), PATIENCE, "a first round")
    return daemon


def digests(daemon: Daemon) -> Path:
    """The folder of the archive."""
    return daemon.folder / "quarantine" / "digests"


def lines(daemon: Daemon) -> list[str]:
    """The lines of the archive: one for each message."""
    return [line for path in digests(daemon).glob("*.mail") for line in path.read_text().splitlines()]


def test_a_stop_and_the_death_of_the_keeper_lose_nothing(own: Fleet) -> None:
    """What workers send waits for the next keeper, and what they send last is written before the service ends."""
    daemon = begin(own)
    assert daemon.send(mail("Q1")).accepted
    daemon.wait_metric("archived_messages_total", 1, result="kept")
    (keeper,) = daemon.keepers()
    keeper.kill()
    assert daemon.send(mail("Q2")).accepted
    daemon.wait_metric("archived_messages_total", 2, result="kept")
    scanning, may_end = threading.Event(), threading.Event()

    def waits(scan: Scan) -> None:
        scanning.set()
        may_end.wait(PATIENCE)
        honest(scan)

    daemon.clamd.behaviour = unless_canary(waits)
    with ThreadPoolExecutor(1) as pool:
        last = pool.submit(daemon.send, mail("Q3"))
        assert scanning.wait(PATIENCE)
        daemon.running.signal(signal.SIGTERM)
        wait_until(lambda: not (daemon.folder / "sock").exists(), PATIENCE, "a begin of the drain")
        begun = daemon.metric("keeper_last_round_timestamp_seconds")
        wait_until(lambda: daemon.metric("keeper_last_round_timestamp_seconds") > begun + 2, PATIENCE, "more rounds")
        may_end.set()
        assert last.result().accepted
    assert daemon.ended() == 0
    assert len(lines(daemon)) == 3
    daemon.clamd.behaviour = honest

    daemon.start()
    daemon.wait_ready()
    wait_until(daemon.engines_up, PATIENCE, "an engine")
    learn(daemon)
    assert daemon.send(mail("Q4")).reply.code is Code.REPLYCODE
    (late,) = daemon.wait_logged("detected_late")
    assert (late["queue_id"], late["signature"], late["messages"]) == ("Q4", "Test.Late", 3)
    before = daemon.wait_logged("delivered_before", 3)
    assert [line["queue_id"] for line in before] == ["Q1", "Q2", "Q3"]
    assert before[0]["recipients"] == ["<\\xff\\xe4@example.test>"]
    daemon.wait_metric("archive_searches_total", 1, result="delivered")


def test_a_lookup_survives_the_keeper(own: Fleet) -> None:
    """The digest is on disk before it is looked up, and nothing is told twice."""
    daemon = begin(own)
    assert daemon.send(mail("Q1")).accepted
    daemon.wait_metric("archived_messages_total", 1, result="kept")
    learn(daemon)
    (keeper,) = daemon.keepers()
    keeper.suspend()
    assert daemon.send(mail("Q2")).reply.code is Code.REPLYCODE
    keeper.kill()
    daemon.wait_logged("child_died", child="keeper")
    daemon.wait_logged("detected_late", queue_id="Q2")
    assert daemon.send(mail("Q3")).reply.code is Code.REPLYCODE
    assert daemon.send(mail("Q4", EICAR + b"\r\n")).reply.code is Code.REPLYCODE
    daemon.wait_metric("archive_searches_total", 1, result="unknown")
    assert len(daemon.logged("detected_late")) == 1


def test_a_disk_that_takes_nothing_concerns_no_mail(own: Fleet) -> None:
    """Each message is counted, each cause logged once; when the disk works again, so does the archive."""
    daemon = begin(own)
    shutil.rmtree(digests(daemon), ignore_errors=True)
    digests(daemon).write_text("no folder")
    assert daemon.send(mail("Q1")).accepted
    daemon.wait_metric("archived_messages_total", 1, result="failed")
    assert daemon.send(mail("Q2")).accepted
    daemon.wait_metric("archived_messages_total", 2, result="failed")
    causes = [str(line["why"]) for line in daemon.logged("keeper_fails", work="archive")]
    assert sorted(causes) == sorted(set(causes))
    assert any("File exists" in cause for cause in causes)
    digests(daemon).unlink()
    assert daemon.send(mail("Q3")).accepted
    daemon.wait_metric("archived_messages_total", 1, result="kept")
    daemon.wait_logged("keeper_works", work="archive")


def test_a_keeper_that_hangs_concerns_no_mail(own: Fleet) -> None:
    """The workers keep what they can; the rest is counted as dropped."""
    daemon = begin(own)
    with stopped(daemon.keepers()[0]), daemon.mta() as mta:
        sent = 0
        while not daemon.metric("archived_messages_total", result="dropped"):
            for _ in range(200):
                assert mta.send_message(Message(recipients=(b"<%b@example.test>" % (b"x" * 2000),))).accepted
            sent += 200
            assert sent < 8000
    wait_until(
        lambda: (
            daemon.metric("archived_messages_total", result="kept")
            + daemon.metric("archived_messages_total", result="dropped")
            == sent
        ),
        PATIENCE,
        "all other messages in the archive",
    )


def test_without_the_setting_the_archive_is_removed(own: Fleet) -> None:
    """It is personal data, which nobody wants any more; nothing new is written."""
    daemon = begin(own)
    assert daemon.send(mail("Q1")).accepted
    daemon.wait_metric("archived_messages_total", 1, result="kept")
    assert daemon.stop() == 0
    daemon.settings = {}
    daemon.start()
    daemon.wait_ready()
    (line,) = daemon.wait_logged("archive_expired")
    assert line["days"] == [datetime.now(UTC).date().isoformat()]
    assert daemon.send(mail("Q2")).accepted
    daemon.line_of("Q2")
    assert [*digests(daemon).iterdir()] == []
