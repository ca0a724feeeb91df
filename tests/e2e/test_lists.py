"""The allow and deny lists between real sendmails and a real clamd: from a refused message to one that arrives."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from miltscan.scanning.listfile import ListFile
from tests.fakes.eicar import EICAR
from tests.harness import messages
from tests.harness.clamav import Clamd
from tests.harness.client import RECIPIENT, SENDER, new_message_id, text_message
from tests.harness.commands import in_process
from tests.harness.jsonlog import LogLine
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, Programs, wait_until
from tests.harness.sandwich import private_folder

MARK = b"a text that only this site's signature knows"


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich that quarantines infected mail."""
    tables: Tables = {"policy": {"on_infected": "quarantine"}}
    with private_folder() as folder, ScanningSandwich(folder, tables) as sandwich:
        yield sandwich


@pytest.fixture
def lists(sandwich: ScanningSandwich) -> Iterator[ListFile]:
    """Empty lists, and again empty ones for the next test."""
    file = ListFile(sandwich.folder / "lists.jsonl")
    yield file
    for entry in file.read().entries:
        run(sandwich, "lists", "remove", entry.id, "--reason", "test")


def run(sandwich: ScanningSandwich, *arguments: str, status: int = 0) -> str:
    """A command with the configuration of the sandwich, once all workers have read what it changes; its output."""
    before = len(sandwich.miltscan.events("lists_read"))
    done = in_process(*arguments, "--config", sandwich.miltscan.configuration)
    assert done.returncode == status, done.stderr
    workers = len(sandwich.miltscan.workers())
    wait_until(lambda: len(sandwich.miltscan.events("lists_read")) >= before + workers, PATIENCE, "the new lists")
    return done.stdout


def infected(sandwich: ScanningSandwich, sender: str = SENDER) -> tuple[LogLine, bytes]:
    """The log line of an infected message, and the message."""
    message = messages.as_wire(messages.infected())
    reply = sandwich.send(message, sender=sender)
    return sandwich.miltscan.wait_for_message(queue_id=reply.queue_id), message


def message_id(message: bytes) -> str:
    """Its Message-ID."""
    return next(line[12:] for line in message.splitlines() if line.lower().startswith(b"message-id:")).decode()


def test_from_a_message_in_the_log_to_the_next_one_in_the_mailbox(sandwich: ScanningSandwich, lists: ListFile) -> None:
    """`allow --from` names the signature and the sender; mail of another sender stays in the quarantine."""
    line, _ = infected(sandwich)
    log = str(sandwich.miltscan.running.log)
    text = run(sandwich, "allow", "--from", str(line["queue_id"]), "--log", log, "--yes", "--reason", "test")
    assert "policy.on_unscanned.allowed" in text
    (entry,) = lists.read().entries
    assert (entry.signature, entry.sender) == (line["signature"], SENDER)
    line, message = infected(sandwich)
    assert (line["outcome"], line["reason"], line["list"], line["action"]) == (
        "unscanned",
        "allowed",
        entry.id,
        "accept",
    )
    delivered = sandwich.mailbox.wait_for(message_id(message)).message
    assert delivered["X-Virus-Status"] == f"Unscanned (allowed: {entry.signature})"
    line, _ = infected(sandwich, "other@elsewhere.example")
    assert (line["outcome"], line["action"], line["list"]) == ("infected", "quarantine", None)


def test_a_release_that_allows_the_next_ones(sandwich: ScanningSandwich, lists: ListFile) -> None:
    """One command delivers the message and lets the next one of this sender pass."""
    line, message = infected(sandwich)
    options = ("--infected", "--allow", "--until", "1h", "--reason", "false positive")
    text = run(sandwich, "quarantine", "release", str(line["entry"]), *options)
    (entry,) = lists.read().entries
    assert f"added {entry.id}: allow signature {line['signature']}, sender {SENDER}, until " in text
    sandwich.mailbox.wait_for(message_id(message))
    _, following = infected(sandwich)
    assert sandwich.mailbox.wait_for(message_id(following)).message["X-Virus-Status"].startswith("Unscanned (allowed: ")


def test_a_denied_sender(sandwich: ScanningSandwich) -> None:
    """Clean mail is refused with a reply that names the queue ID, and passes again after the removal."""
    text = run(sandwich, "deny", f"@{SENDER.partition('@')[2]}", "--for", RECIPIENT, "--reason", "test")
    reply = sandwich.send(text_message(new_message_id()))
    assert (reply.code, reply.text.split(" (")[0]) == (550, "5.7.1 Sender denied here")
    run(sandwich, "lists", "remove", text.split()[1].removesuffix(":"), "--reason", "test")
    arrives = new_message_id()
    assert sandwich.send(text_message(arrives)).code == 250
    sandwich.mailbox.wait_for(arrives)


def test_the_ign2_line_lets_clamd_go_on(tmp_path: Path) -> None:
    """With the name that `allow` shows, without .UNOFFICIAL, clamd ignores the signature and finds others."""
    owner = Programs(tmp_path)
    clamd = Clamd.prepare(owner, test_database=True)
    (clamd.database / "site.ndb").write_text(f"Site.Test-1:0:*:{MARK.hex()}\n")
    clamd.start()
    try:
        clamd.wait_ready()
        assert scanned(clamd, MARK) == b"Site.Test-1.UNOFFICIAL FOUND"
        (clamd.database / "local.ign2").write_text("Site.Test-1\n")
        clamd.reload()
        wait_until(lambda: scanned(clamd, MARK) == b"OK", PATIENCE, "a clamd that ignores the signature")
        assert b"Eicar" in scanned(clamd, EICAR)
    finally:
        owner.end()


def scanned(clamd: Clamd, data: bytes) -> bytes:
    """What clamd says about these bytes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(clamd.socket))
        connection.sendall(b"zINSTREAM\0" + len(data).to_bytes(4, "big") + data + bytes(4))
        return connection.recv(4096).removesuffix(b"\0").removeprefix(b"stream: ")
