"""The quarantine behind real sendmails: whoever dies, the client or the store has the message, and often both."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from miltscan.quarantine.files import Files
from tests.harness import messages
from tests.harness.client import new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich that quarantines infected mail, with one worker."""
    tables: Tables = {"policy": {"on_infected": "quarantine"}, "milter": {"workers": 1}}
    with private_folder() as folder, ScanningSandwich(folder, tables) as sandwich:
        yield sandwich


def infected() -> bytes:
    """EICAR deep in a message."""
    return messages.as_wire(messages.infected_deep_down())


def entries(sandwich: ScanningSandwich) -> set[str]:
    """The IDs of all entries, in the index or not yet."""
    files = Files(sandwich.folder / "quarantine")
    return {*files.waiting(), *(one for day in files.days() for one in files.ids(day))}


def test_infected_mail_is_kept_and_not_delivered(sandwich: ScanningSandwich) -> None:
    """The client receives sendmail's own 250; both queues stay empty, and the mailbox has nothing."""
    before, message = entries(sandwich), infected()
    reply = sandwich.send(message)
    assert (reply.code, reply.text.split()[-4:]) == (250, ["Message", "accepted", "for", "delivery"])
    (entry,) = entries(sandwich) - before
    files = Files(sandwich.folder / "quarantine")
    assert files.read(entry).entry.queue_id in reply.text
    sandwich.wait_until_empty()
    assert sandwich.mailbox.messages() == []
    with files.message(entry) as stored:
        assert stored.read() == message


@contextmanager
def killed_at(sandwich: ScanningSandwich, call: str, number: int) -> Iterator[None]:
    """The worker is killed when it enters this system call for the `number`-th time."""
    (worker,) = sandwich.miltscan.workers()
    inject = f"inject={call}:signal=KILL:when={number}"
    command = ["strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, "-p", str(worker.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        wait_until(lambda: _traced(worker.pid), PATIENCE, "strace at the worker")
        yield
        assert tracer.wait(PATIENCE) is not None


def _traced(pid: int) -> bool:
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize(
    ("call", "number", "kept"),
    [("fsync", 1, 0), ("linkat", 1, 0), ("fsync", 2, 1)],
    ids=["before the bytes are on disk", "before the name", "before the name is on disk"],
)
def test_a_worker_that_dies_while_it_stores(sandwich: ScanningSandwich, call: str, number: int, kept: int) -> None:
    """The client receives 451 and sends again; whatever the dead worker left is a whole entry or nothing."""
    before, message = entries(sandwich), infected()
    with killed_at(sandwich, call, number):
        reply = sandwich.send(message)
    assert (reply.code, reply.text[:5]) == (451, "4.3.2")
    left = entries(sandwich) - before
    assert len(left) == kept
    assert sandwich.retry(message).code == 250
    again = entries(sandwich) - before - left
    assert len(again) == 1
    files = Files(sandwich.folder / "quarantine")
    for entry in left | again:
        with files.message(entry) as stored:
            assert stored.read() == message
    assert len({files.read(entry).entry.digest for entry in left | again}) == 1


def test_clean_mail_passes_meanwhile(sandwich: ScanningSandwich) -> None:
    """It is delivered as without a quarantine."""
    message_id = new_message_id()
    assert sandwich.send(text_message(message_id)).code == 250
    assert sandwich.mailbox.wait_for(message_id).message["X-Virus-Status"] == "Clean"
