"""The cases of tests/corpus/decisions with real sendmails and a fake clamd: what the client and the mailbox receive."""

import re
import smtplib
from collections.abc import Iterator

import pytest

from tests.fakes.clamd import FakeClamd
from tests.harness import decisions
from tests.harness.client import new_message_id
from tests.harness.decisions import Case
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

Pair = tuple[ScanningSandwich, FakeClamd]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A sandwich with a fake clamd."""
    with (
        private_folder() as folder,
        FakeClamd.unix(folder / "fake.ctl") as clamd,
        ScanningSandwich(folder, servers=[clamd.address]) as sandwich,
    ):
        yield sandwich, clamd


@pytest.mark.parametrize("case", decisions.cases("e2e"), ids=lambda case: case.name)
def test_case(pair: Pair, case: Case) -> None:
    """The client's reply and the headers in the mailbox are those that the file expects."""
    sandwich, clamd = pair
    sandwich.run_with({"milter": {"workers": 1}, **case.tables})  # so that a server is down for all as soon as for one
    sandwich.miltscan.wait_for_engines(1)
    message_id = new_message_id()
    head = [(b"Message-ID", f" {message_id}".encode()), *case.headers]
    message = b"".join(b"%b:%b\r\n" % header for header in head) + b"\r\n" + case.body
    with decisions.answering(clamd, case.answers["clamd"], lambda: sandwich.miltscan.wait_for_engines(0)):
        reply = sent(sandwich.incoming.port, case, message)
    fate, reason, headers = found(sandwich, reply, message_id)
    assert case.deviations(reply, fate, reason, headers) == []


def sent(port: int, case: Case, message: bytes) -> str:
    """One session; the first refusal, or the reply to the message."""
    with smtplib.SMTP("127.0.0.1", port, "client.example.org", PATIENCE) as session:
        session.ehlo()
        for command in case.commands:
            code, text = session.docmd(str(command))
            if code >= 400:
                return f"{code} {text.decode()}"
        code, text = session.data(message)
        return f"{code} {text.decode()}"


def found(sandwich: ScanningSandwich, reply: str, message_id: str) -> tuple[str, str, list[tuple[str, str]]]:
    """What became of the message, why it is held, and its headers in the mailbox or the queue."""
    if not reply.startswith("250"):
        assert sandwich.mailbox.find(message_id) == []
        return decisions.REFUSED, "", []
    queue_id = reply.split()[2]
    queued = sandwich.incoming.queue / f"hf{queue_id}"
    action = sandwich.miltscan.wait_for_message(queue_id=queue_id)["action"]
    if action == "hold":
        text = queued.read_text(errors="replace")
        (reason,) = re.findall(r"^q(.*)$", text, re.MULTILINE)
        return decisions.HELD, reason, re.findall(r"^H\?[^?]*\?([^:\n]+): (.*)$", text, re.MULTILINE)
    if action == "discard":
        wait_until(lambda: not sandwich.incoming.queued(), PATIENCE, "an empty queue")
        assert sandwich.mailbox.find(message_id) == []
        return decisions.DISCARDED, "", []
    return decisions.DELIVERED, "", [*sandwich.mailbox.wait_for(message_id).message.items()]
