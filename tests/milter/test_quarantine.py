"""The quarantine behind the milter: what the policy keeps is on disk before the MTA's answer, and nothing else is."""

import os
import shutil
from pathlib import Path

import pytest

from miltscan.core.action import ActionName
from miltscan.core.verdict import Limit, Outcome
from miltscan.quarantine.entry import Standing
from miltscan.quarantine.files import Files
from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Code, Command
from tests.fakes.mta import Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

VIRUS = EICAR + b"\r\n"
NOT_STORED = b"451 4.3.0 Message could not be stored, try again later (Q)"
KEEPS = {"policy__on_infected": "quarantine:viruses", "quarantine__area__viruses__max_age": "90d"}


def files(daemon: Daemon) -> Files:
    """The files of the service's quarantine."""
    return Files(daemon.folder / "quarantine")


def entries(daemon: Daemon) -> set[str]:
    """The names of all entries, whether in the index or not."""
    return {path.name for path in files(daemon).directory.rglob("*.entry")}


def stored(daemon: Daemon, queue_id: str) -> Standing:
    """The entry that the log line of this message names."""
    return files(daemon).read(str(daemon.line_of(queue_id)["entry"]))


def content(daemon: Daemon, standing: Standing) -> bytes:
    """The message in the entry."""
    with files(daemon).message(standing.entry.id) as stream:
        return stream.read()


@pytest.mark.parametrize("size", [0, 200_000], ids=["memory", "disk"])
def test_an_infected_message_is_stored_as_received(shared: Fleet, size: int) -> None:
    """The entry has the envelope, the verdict and every byte, with CRLF in folds; the client receives 250."""
    daemon = shared(**KEEPS)
    headers = ((b"Subject", b" =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n an alle"), (b"From", b" A <a@example.org>"), (b"X", b""))
    message = Message(
        sender=b"<a@example.org>",
        recipients=(b"<b@example.test>", b"<c@example.test>"),
        headers=headers,
        body=VIRUS + b"x" * size,
        queue_id=b"KEPT%d" % size,
    )
    assert daemon.send(message).reply.code is Code.DISCARD
    line = daemon.line_of(f"KEPT{size}")
    assert (line["action"], line["area"], line["rule"], line["reply"]) == (
        "quarantine",
        "viruses",
        "policy.on_infected",
        None,
    )
    standing = stored(daemon, f"KEPT{size}")
    entry = standing.entry
    assert (entry.area, entry.action, entry.outcome, entry.signature) == (
        "viruses",
        ActionName.QUARANTINE,
        Outcome.INFECTED,
        "Eicar-Test-Signature",
    )
    assert (entry.sender, entry.recipients) == (message.sender, message.recipients)
    assert (entry.subject, entry.author) == ("Grüße an alle", "A <a@example.org>")
    head = b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n an alle\r\nFrom: A <a@example.org>\r\nX:\r\n\r\n"
    assert content(daemon, standing) == head + message.body


def test_a_discarded_message_leaves_a_copy_where_an_area_is_named(shared: Fleet) -> None:
    """Without an area nothing is kept."""
    daemon = shared(policy__on_infected="discard:default")
    assert daemon.send(Message(body=VIRUS, queue_id=b"COPIED")).reply.code is Code.DISCARD
    entry = stored(daemon, "COPIED").entry
    assert (entry.action, entry.area) == (ActionName.DISCARD, "default")
    daemon = shared(policy__on_infected="discard")
    before = entries(daemon)
    assert daemon.send(Message(body=VIRUS, queue_id=b"DROPPED")).reply.code is Code.DISCARD
    assert (daemon.line_of("DROPPED")["entry"], entries(daemon)) == (None, before)


def test_a_message_above_the_limit_is_kept_whole(shared: Fleet) -> None:
    """Its bytes are received where the policy quarantines such; an announced size alone stores nothing."""
    daemon = shared(policy__on_unscanned__too_large="quarantine")
    body = b"x" * 1_100_000
    for queue_id, arguments in ((b"LARGE", ()), (b"TOLD", (b"SIZE=1100000",))):
        message = Message(body=body, queue_id=queue_id, sender_args=arguments)
        result = daemon.send(message)
        assert (result.step, result.reply.code) == (Command.EOM, Code.DISCARD)
        standing = stored(daemon, queue_id.decode())
        assert standing.entry.reason is Limit.TOO_LARGE
        assert content(daemon, standing).endswith(b"\r\n\r\n" + body)


def test_clean_mail_is_not_stored(shared: Fleet) -> None:
    """Only what the policy keeps reaches the store."""
    daemon = shared(**KEEPS)
    before = entries(daemon)
    assert daemon.send(Message(queue_id=b"CLEAN")).accepted
    assert (daemon.line_of("CLEAN")["entry"], entries(daemon)) == (None, before)


def test_what_cannot_be_stored_stays_with_its_client(own: Fleet) -> None:
    """The folder is gone and cannot be made again: 451, a line with the reason; afterwards it works again by itself."""
    daemon = own(**KEEPS)
    daemon.start()
    daemon.wait_ready()
    folder = daemon.folder / "quarantine"
    shutil.rmtree(folder)
    folder.write_bytes(b"")
    assert daemon.send(Message(body=VIRUS, queue_id=b"Q")).reply.smtp == NOT_STORED
    line = daemon.line_of("Q")
    assert (line["outcome"], line["action"], line["rule"], line["entry"]) == (
        "infected",
        "tempfail",
        "quarantine",
        None,
    )
    (problem,) = daemon.logged("store_fails", queue_id="Q")
    assert problem["why"] == f"quarantine {folder}: Not a directory"
    daemon.wait_metric("quarantine_put_errors_total", 1)
    folder.unlink()
    assert daemon.send(Message(body=VIRUS, queue_id=b"AGAIN")).reply.code is Code.DISCARD
    assert stored(daemon, "AGAIN").entry.queue_id == "AGAIN"
    daemon.wait_metric("quarantine_put_duration_seconds_count", 1)
    assert oct(folder.stat().st_mode & 0o777) == "0o700"


def test_a_full_disk_stays_with_its_client(own: Fleet, tmp_path: Path) -> None:
    """A spool that is full has only a part of the message, which is never stored as the whole."""
    daemon = own(policy__on_error="quarantine", spool__directory=str(tmp_path / "spool"))
    (tmp_path / "spool").mkdir()
    daemon.start()
    daemon.wait_ready()
    (tmp_path / "spool").rmdir()
    body = b"x" * 200_000
    assert daemon.send(Message(body=body, queue_id=b"Q")).reply.smtp == NOT_STORED
    assert "bytes only" in str(daemon.logged("store_fails", queue_id="Q")[0]["why"])


def test_a_folder_that_cannot_be_used_keeps_the_service_from_starting(own: Fleet) -> None:
    """Better now than at the first message; a reload with such a folder changes nothing."""
    daemon = own(**KEEPS, quarantine__directory="/dev/null/quarantine")
    daemon.start()
    assert daemon.ended() == 1
    text = daemon.running.log.read_text()
    assert text == (
        "quarantine /dev/null/quarantine: Not a directory. quarantine.directory must be a folder of miltscan's user\n"
    )


def test_a_reload_changes_what_is_kept(own: Fleet) -> None:
    """From the next message on; no process restarts."""
    daemon = own()
    daemon.start()
    daemon.wait_ready()
    assert daemon.send(Message(body=VIRUS)).reply.smtp.startswith(b"550")
    daemon.write(**KEEPS)
    os.kill(daemon.running.pid, 1)
    daemon.wait_logged("reload")
    kept = Message(body=VIRUS)  # the worker reads the order a moment after the supervisor wrote its line
    wait_until(lambda: daemon.send(kept).reply.code is Code.DISCARD, PATIENCE, "a worker with the new settings")
    assert daemon.send(Message(body=VIRUS, queue_id=b"KEPT")).reply.code is Code.DISCARD
    assert stored(daemon, "KEPT").entry.area == "viruses"
