"""Releases from the quarantine through a real delivery sendmail: each result, and the trace from end to end."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from miltscan.core.verdict import Outcome
from miltscan.quarantine.audit import AuditLine, deletion_line
from miltscan.quarantine.entry import State
from miltscan.quarantine.files import Files
from miltscan.quarantine.release import Order, Releaser
from tests.fakes.delivery import fake_delivery
from tests.fakes.entries import put
from tests.harness import messages, preload
from tests.harness.client import RECIPIENT, SENDER, new_message_id, text_message
from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

FOUND = Order("root", infected=True, reason="wanted")
ELSEWHERE = "someone@elsewhere.example"
CLEAN: dict[str, Any] = {"outcome": Outcome.CLEAN, "signature": None}
_WRITE = (
    "import json, sys; from miltscan.telemetry.audit import write_audit\n"
    "for line in json.load(sys.stdin): write_audit(*line)"
)


@pytest.fixture(scope="module")
def fragile() -> Iterator[ScanningSandwich]:
    """A sandwich that quarantines infected mail, and in which tests stop parts."""
    tables: Tables = {"policy": {"on_infected": "quarantine"}, "milter": {"workers": 1}}
    with private_folder() as folder, ScanningSandwich(folder, tables) as sandwich:
        yield sandwich


@pytest.fixture
def sandwich(fragile: ScanningSandwich) -> Iterator[ScanningSandwich]:
    """The same sandwich, repaired after each test."""
    yield fragile
    (fragile.folder / "virtusertable.db").unlink(missing_ok=True)
    fragile.repair()


@pytest.fixture
def files(sandwich: ScanningSandwich) -> Files:
    """The quarantine of the service."""
    return Files(sandwich.folder / "quarantine")


def releaser(sandwich: ScanningSandwich, files: Files) -> Releaser:
    """What releases through the sandwich's delivery sendmail."""
    server = ("127.0.0.1", sandwich.delivery.port)
    return Releaser(files, files.record, server, PATIENCE, "mx.example.test", "miltscan 1 at mx.example.test")


def kept(sandwich: ScanningSandwich, *recipients: str) -> tuple[str, str]:
    """The queue ID at incoming and the entry of an infected message for these recipients."""
    reply = sandwich.send(messages.as_wire(messages.infected()), recipients=recipients)
    line = sandwich.miltscan.wait_for_message(queue_id=reply.queue_id)
    return reply.queue_id, line["entry"]


def log(sandwich: ScanningSandwich, lines: list[AuditLine]) -> None:
    """Write log lines as a command does, to the syslog of the sandwich."""
    environment = os.environ | preload.environment(sandwich.folder)
    text = json.dumps(lines)
    subprocess.run([sys.executable, "-c", _WRITE], input=text, text=True, env=environment, check=True)


def command(sandwich: ScanningSandwich, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the output of `quarantine release`, which writes to the syslog of the sandwich."""
    program = [sys.executable, "-m", "miltscan", "quarantine", "release", "--json"]
    program += ["--config", str(sandwich.miltscan.configuration), *arguments]
    environment = os.environ | preload.environment(sandwich.folder)
    done = subprocess.run(program, check=False, capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def trace(sandwich: ScanningSandwich, subject: str, *options: str) -> str:
    """What the program prints about a message."""
    logs = ["--log", str(sandwich.syslog.file), "--log", str(sandwich.miltscan.running.log)]
    return in_process("trace", *logs, *options, subject).stdout


def traced(sandwich: ScanningSandwich, subject: str, *statuses: str) -> dict[str, Any]:
    """The trace of a message, as soon as its recipients have these statuses."""

    def found() -> dict[str, Any] | None:
        (one,) = [json.loads(line) for line in trace(sandwich, subject, "--json").splitlines()] or [{}]
        has = sorted(recipient["status"] for recipient in one.get("recipients", []))
        return one if has == sorted(statuses) else None

    return wait_until(found, PATIENCE, f"a trace of {subject} with {statuses}")


def test_from_the_policy_to_the_mailbox(sandwich: ScanningSandwich, files: Files) -> None:
    """A quarantined message is refused for one recipient and delivered to the other; trace follows it all the way."""
    refused = "refused@example.test"
    queue_id, entry_id = kept(sandwich, RECIPIENT, refused)
    before = traced(sandwich, queue_id, "in the quarantine", "in the quarantine")
    assert (before["status"], before["entry"], before["queue_ids"]) == ("in the quarantine", entry_id, [queue_id])
    assert f": in the quarantine, entry {entry_id}\n" in trace(sandwich, queue_id)

    sandwich.delivery.make_map("virtusertable", f"{refused}\terror:5.1.1:550 User unknown\n")
    status, release = command(sandwich, entry_id, "--infected", "--reason", "wanted")
    done, not_done = release["deliveries"]
    assert (status, done["recipient"].strip("<>"), not_done["recipient"].strip("<>")) == (1, RECIPIENT, refused)
    assert not_done["reply"] == f"550 5.1.1 <{refused}>... User unknown"
    assert (not_done["queue_id"], "--to" in not_done["remedy"]) == ("", True)
    assert [*files.read(entry_id).states.values()] == [State.RELEASED, State.STORED]

    for subject in (queue_id, entry_id, done["queue_id"]):
        half = traced(sandwich, subject, "delivered", "in the quarantine")
        assert half["queue_ids"] == [queue_id, done["queue_id"]]
        links = [event["handed_over_as"] for event in half["events"] if event["kind"] == "quarantine"]
        assert links == [done["queue_id"], None]
    assert command(sandwich, entry_id, "--to", ELSEWHERE, "--infected", "--reason", "wanted")[0] == 0
    traced(sandwich, entry_id, "delivered", "delivered", "in the quarantine")
    log(sandwich, [deletion_line(files.read(entry_id).entry, "keeper", "expired")])
    traced(sandwich, entry_id, "delivered", "delivered", "discarded")


def test_the_message_in_the_mailbox(sandwich: ScanningSandwich, files: Files) -> None:
    """The mailbox has the message as it was sent, with sender, our headers and the trace line of its client."""
    queue_id, entry_id = kept(sandwich, RECIPIENT)
    releaser(sandwich, files).release(entry_id, FOUND)
    with files.message(entry_id) as stored:
        original = stored.read()
    message_id = next(line[12:] for line in original.splitlines() if line.lower().startswith(b"message-id:"))
    delivered = sandwich.mailbox.wait_for(message_id.decode())
    assert delivered.message["Return-Path"] == f"<{SENDER}>"
    assert delivered.message["X-Miltscan-Released"] == entry_id
    assert "Infected" in delivered.message["X-Virus-Status"]
    assert f"(miltscan quarantine) id {queue_id};" in str(delivered.message.get_all("Received"))
    assert delivered.raw.endswith(original.partition(b"\r\n\r\n")[2])


BODY = b".\r\n.dot\r\n..two\r\n8-bit \xe4\xff\r\nFrom the begin\r\n.\r\nend\r\n"


def test_folds_dots_and_8_bit(sandwich: ScanningSandwich, files: Files) -> None:
    """Bare line feeds in folds, lines of dots, 8-bit bytes and an empty sender reach the mailbox unchanged."""
    message_id = new_message_id()
    head = f"Subject: folded\n one\n\ttwo\r\nMessage-ID: {message_id}\r\nX-Virus-Status: Clean\r\n\r\n".encode()
    entry = put(files, head + BODY, sender=b"<>", recipients=(f"<{RECIPIENT}>".encode(),), **CLEAN)
    (done,) = releaser(sandwich, files).release(entry.id, Order("root")).deliveries
    assert done.queue_id
    delivered = sandwich.mailbox.wait_for(message_id)
    assert delivered.raw.endswith(b"\r\n\r\n" + BODY)
    assert b"Subject: folded\r\n one\r\n\ttwo\r\n" in delivered.raw
    assert delivered.message.get_all("X-Virus-Status") == ["Clean"]
    sandwich.syslog.wait_for(rf"{done.queue_id}: from=<>, .*bodytype=8BITMIME")


def test_a_delivery_side_that_is_down(sandwich: ScanningSandwich, files: Files) -> None:
    """The entry stays, its last reply says why, and it is released when delivery is back."""
    message_id = new_message_id()
    entry = put(files, text_message(message_id), **CLEAN)
    sandwich.delivery.stop()
    release = releaser(sandwich, files).release(entry.id, Order("root"))
    assert {one.queue_id for one in release.deliveries} == {""}
    assert files.events(entry.id)[-1].reply == (
        f"no reply from port {sandwich.delivery.port} of 127.0.0.1: Connection refused"
    )
    assert files.read(entry.id).state is State.STORED
    sandwich.delivery.start()
    sandwich.delivery.wait_ready()
    assert releaser(sandwich, files).release(entry.id, Order("root")).deliveries[0].queue_id
    assert sandwich.mailbox.wait_for(message_id)


def test_a_delivery_side_that_dies_after_the_final_dot(sandwich: ScanningSandwich, files: Files) -> None:
    """Without its reply the message is not released, whether it has arrived or not: it is sent again."""
    message_id = new_message_id()
    entry = put(files, text_message(message_id), **CLEAN)
    with fake_delivery() as fake:
        fake.reply = None
        dying = Releaser(files, files.record, fake.server, PATIENCE, "mx.example.test")
        assert dying.release(entry.id, Order("root")).deliveries[0].queue_id == ""
        assert len(fake.messages) == 1
    assert files.read(entry.id).state is State.STORED
    assert releaser(sandwich, files).release(entry.id, Order("root")).deliveries[0].queue_id
    assert sandwich.mailbox.wait_for(message_id)


LARGE = 100 * 2**20
_MEMORY = """
import resource, sys
from pathlib import Path
from miltscan.quarantine.files import Files
from miltscan.quarantine.release import Order, Releaser
files = Files(Path(sys.argv[1]))
releaser = Releaser(files, files.record, ("127.0.0.1", int(sys.argv[2])), 600.0, "mx.example.test")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert releaser.release(sys.argv[3], Order("root")).deliveries[0].queue_id
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_message_takes_little_memory(sandwich: ScanningSandwich, files: Files, tmp_path: Path) -> None:
    """A message of 100 MB is sent in chunks: the process grows by less than 16 MiB."""
    script = tmp_path / "release.py"
    script.write_text(_MEMORY)
    line = b"." + b"x" * 98 + b"\r\n"
    entry = put(files, b"Subject: large\r\n\r\n" + line * (LARGE // len(line)), **CLEAN)
    command = [sys.executable, str(script), str(files.directory), str(sandwich.delivery.port), entry.id]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert int(made.stdout) < 16 * 1024
