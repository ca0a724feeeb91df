"""The allow and deny lists of a running service: commands change them, and every worker of both sockets follows."""

import hashlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from miltscan.core.action import ActionName
from miltscan.core.probe import Answer, ProbeKind, read_answer
from miltscan.core.verdict import Outcome
from miltscan.scanning.listfile import ListFile
from tests.fakes.clamd_lies import says, unless_canary
from tests.fakes.eicar import EICAR
from tests.fakes.list_entries import listed
from tests.fakes.milter_wire import Code
from tests.fakes.mta import MTA, Message, Result
from tests.harness.commands import in_process
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, stopped
from tests.milter.probes import KEY_FILE, probe

NAME = "Win.Test.Odd Name-1"
SUSPICION = "Heuristics.Phishing.Email.SpoofedDomain"
STATUS = b"X-Virus-Status"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder with a key file and the socket of the delivery side."""
    path = Path(tempfile.mkdtemp(prefix="miltscan-"))  # short: a unix socket's path has 107 bytes
    (path / "keys").write_text(KEY_FILE)
    (path / "keys").chmod(0o600)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def service(own: Fleet, folder: Path) -> Daemon:
    """A running service with two workers at the incoming side and one at the delivery side; clamd finds NAME."""
    daemon = own(
        milter__workers=2, milter__socket=f"unix:{folder}/sock", verify__socket=f"unix:{folder}/verify",
        keys__file=f"{folder}/keys",
    )  # fmt: skip
    daemon.start()
    daemon.wait_ready()
    wait_until(daemon.engines_up, PATIENCE, "an engine")
    daemon.clamd.behaviour = unless_canary(says(f"{NAME} FOUND".encode()))
    return daemon


def run(daemon: Daemon, *arguments: str) -> str:
    """A command with the configuration of the service; what it prints."""
    done = in_process(*arguments, "--config", daemon.config)
    assert done.returncode == 0, done.stderr
    return done.stdout


def added(daemon: Daemon, *arguments: str) -> str:
    """The ID of the entry that a command adds, once each of the three workers has read it."""
    reads = len(daemon.logged("lists_read"))
    text = run(daemon, *arguments, "--reason", "test")
    daemon.wait_logged("lists_read", reads + 3)
    return text.split()[1].removesuffix(":")


def status_of(result: Result) -> bytes:
    """The X-Virus-Status that the message gets."""
    return next(edit.value.strip() for edit in result.edits if edit.name == STATUS and edit.code is Code.INSERT_HEADER)


def verified(folder: Path, message: Message) -> Result:
    """The reply of the delivery side."""
    with MTA.open(f"unix:{folder}/verify") as mta:
        return mta.send_message(message)


def test_an_entry_is_in_force_in_every_worker_within_a_second(service: Daemon, folder: Path) -> None:
    """No reload, no restart; the removal is as fast."""
    assert service.send().reply.smtp.startswith(b"550")
    first = added(service, "allow", NAME)
    written = next(line for line in ListFile(service.folder / "lists.jsonl").read().entries).added
    for line in service.logged("lists_read"):
        assert datetime.fromisoformat(str(line["timestamp"])).timestamp() - written < 1.5  # 0.5 s and the file's fsync
    one, two = sorted(service.workers(), key=lambda worker: worker.pid)[:2]
    for number, other in enumerate((one, two)):
        with stopped(other):
            queue_id = f"ALLOWED{number}"
            result = service.send(Message(queue_id=queue_id.encode()))
        assert (result.accepted, status_of(result)) == (True, f"Unscanned (allowed: {NAME})".encode())
        line = service.line_of(queue_id)
        assert (line["outcome"], line["reason"], line["signature"], line["list"], line["rule"], line["level"]) == (
            "unscanned",
            "allowed",
            NAME,
            first,
            "policy.on_unscanned.allowed",
            "warning",
        )
    assert verified(folder, Message()).accepted
    service.wait_metric("list_hits_total", 3, list="allow")
    service.wait_metric("unscanned_total", 3, reason="allowed")
    service.wait_metric("signature_detections_total", 4, signature=NAME)
    service.wait_metric("list_entries", 1, list="allow")
    run(service, "lists", "remove", first, "--reason", "test")
    service.wait_logged("lists_read", 6)
    assert service.send().reply.smtp.startswith(b"550")
    assert verified(folder, Message()).reply.smtp.startswith(b"550")


def test_an_entry_expires_by_itself(service: Daemon) -> None:
    """It is out of force at its time; one worker records that, for all."""
    entry = added(service, "allow", NAME, "--until", "3s")
    assert service.send().accepted
    wait_until(lambda: not service.send().accepted, PATIENCE, "the end of the entry")
    service.wait_logged("list_expired", id=entry, what=f"signature {NAME}")
    service.wait_logged("lists_read", allow=0, times=3)
    assert len(service.logged("list_expired")) == 1
    assert run(service, "lists") == "both lists are empty\n"


def test_a_file_that_vanishes_changes_nothing(service: Daemon) -> None:
    """The last lists stay in force in each worker, the metric behind the alert is set, and its return clears it."""
    added(service, "allow", NAME)
    file = service.folder / "lists.jsonl"
    away = file.rename(service.folder / "away")
    service.wait_logged("lists_fail", 3, why="the file has vanished")
    service.wait_metric("lists_stale", 1)
    for _ in range(4):
        assert service.send().accepted
    away.rename(file)
    service.wait_metric("lists_stale", 0)
    with file.open("ab") as raw:
        raw.write(b"broken\n")
    service.wait_metric("lists_broken_lines", 1)
    assert service.send().accepted
    assert len(service.logged("lists_fail")) == 3


def test_clean_mail_is_denied_by_sender_and_by_content(service: Daemon, folder: Path) -> None:
    """The digest is that of the whole message as received; at the delivery side nobody could be told any more."""
    service.clamd.behaviour = unless_canary(says(b"OK"))
    message = Message(
        sender=b"<A@Spam.Example>", headers=((b"Subject", b" a\n\tb"),), body=b"hello\r\n", queue_id=b"D1"
    )
    entry = added(service, "deny", ".spam.example")
    assert service.send(message).reply.smtp == b"550 5.7.1 Sender denied here (D1)"
    line = service.line_of("D1")
    assert (line["outcome"], line["rule"], line["list"], line["action"]) == ("clean", "list.deny", entry, "reject")
    other = replace(message, sender=b"<b@example.org>", queue_id=b"D2")
    assert service.send(other).accepted
    added(service, "deny", hashlib.sha256(b"Subject: a\r\n\tb\r\n\r\nhello\r\n").hexdigest())
    assert service.send(replace(other, queue_id=b"D3")).reply.smtp == b"550 5.7.1 Content denied here (D3)"
    assert service.send(replace(other, body=b"hello", queue_id=b"D4")).accepted
    assert verified(folder, message).accepted
    service.wait_metric("list_hits_total", 2, list="deny")


def test_a_suspicion_that_is_allowed_is_clean(service: Daemon) -> None:
    """Only for the sender that the entry names."""
    service.clamd.behaviour = unless_canary(says(f"{SUSPICION} FOUND".encode()))
    added(service, "allow", "@bank.example")
    result = service.send(Message(sender=b"<news@bank.example>", queue_id=b"S1"))
    assert status_of(result) == f"Clean (allowed: {SUSPICION})".encode()
    line = service.line_of("S1")
    assert (line["outcome"], line["signature"], line["rule"], line["level"]) == ("clean", SUSPICION, "clean", "info")
    assert service.send().reply.smtp.startswith(b"550")


def test_a_receipt_passes_what_was_allowed_for_this_client_only(service: Daemon, folder: Path) -> None:
    """The delivery side cannot know the client: it believes the receipt, and nothing else."""
    added(service, "allow", NAME, "--client", "192.0.2.0/24")
    message = Message(headers=((b"Subject", b" test"),))
    result = service.send(message)
    assert result.accepted
    receipt = next(edit.value for edit in result.edits if edit.name == b"X-Miltscan-Receipt")
    with_receipt = replace(message, headers=((b"X-Miltscan-Receipt", receipt), *message.headers))
    assert verified(folder, with_receipt).accepted
    assert verified(folder, message).reply.smtp.startswith(b"550")


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (ProbeKind.CLEAN, Answer(Outcome.CLEAN, ActionName.ACCEPT)),
        (ProbeKind.SIGNATURE, Answer(Outcome.INFECTED, ActionName.REJECT)),
    ],
)
def test_no_list_applies_to_a_probe(service: Daemon, kind: ProbeKind, answer: Answer) -> None:
    """Its answer shows what the engines say, whoever is denied and whatever is allowed."""
    service.clamd.behaviour = unless_canary(
        says(b"Eicar-Test-Signature FOUND" if kind is ProbeKind.SIGNATURE else b"OK")
    )
    message, ours = probe(kind, b"P")
    added(service, "allow", "Eicar-Test-Signature")
    added(service, "deny", f"<{message.sender.decode().strip('<>')}>")
    assert read_answer(ours, service.send(message).reply.smtp.decode()) == answer
    assert service.logged("probe_message", queue_id="P", list=None)
    assert service.metric("list_hits_total") == 0


def test_a_file_that_cannot_be_read_keeps_the_service_from_starting(own: Fleet) -> None:
    """With empty lists, denied mail would pass; a reload with such a file changes nothing."""
    daemon = own()
    (daemon.folder / "lists.jsonl").write_text("{}\n")
    daemon.start()
    assert daemon.ended() == 1
    text = daemon.running.log.read_text()
    assert "lists.jsonl: does not begin with the line" in text
    assert len(text.splitlines()) == 1


def test_lists_are_in_force_from_the_first_message(own: Fleet) -> None:
    """A service that starts with a file has read it before it is ready."""
    daemon = own()
    ListFile(daemon.folder / "lists.jsonl").add(listed("deny", "", sender="@example.org"))
    daemon.start()
    daemon.wait_ready()
    assert daemon.send(Message(sender=b"<a@example.org>", body=EICAR)).reply.smtp.startswith(b"550 5.7.1 Sender denied")


def test_another_file_by_a_reload(own: Fleet) -> None:
    """The lists of the new file are in force after the reload, and changes of the former one are not."""
    daemon = own()
    daemon.start()
    daemon.wait_ready()
    ListFile(daemon.folder / "other.jsonl").add(listed("deny", "", sender="@example.org"))
    daemon.write(lists__file=str(daemon.folder / "other.jsonl"))
    daemon.running.signal(signal.SIGHUP)
    daemon.wait_logged("reload")
    wait_until(lambda: not daemon.send(Message(sender=b"<a@example.org>")).accepted, PATIENCE, "the new lists")
    ListFile(daemon.folder / "lists.jsonl").add(listed("deny", "", sender="@other.example"))
    time.sleep(1.2)  # longer than two looks
    assert daemon.send(Message(sender=b"<a@other.example>")).accepted
