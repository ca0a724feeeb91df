"""The cases of tests/corpus/decisions with real sendmails and a fake clamd: what the client and the mailbox receive."""

import re
import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from miltscan.quarantine.files import Files
from tests.fakes.antispam import FakeAntispam, either_gtube, spamd_says
from tests.fakes.clamd import FakeClamd
from tests.harness import decisions
from tests.harness.client import new_message_id
from tests.harness.decisions import Case, Fate
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

_NAMED = re.compile(r" <[^>]*>\.\.\. ")

Parts = tuple[ScanningSandwich, FakeAntispam, FakeClamd, FakeClamd]


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    """A sandwich with a fake clamd, the clamd of a second engine, and an anti-spam server."""
    with (
        private_folder() as folder,
        FakeClamd.unix(folder / "fake.ctl") as clamd,
        FakeClamd.tcp() as second,
        FakeAntispam(spamd_says(), either_gtube) as antispam,
        ScanningSandwich(folder, servers=[clamd.address]) as sandwich,
    ):
        yield sandwich, antispam, clamd, second


@pytest.mark.parametrize("case", decisions.cases("e2e"), ids=lambda case: case.name)
def test_case(parts: Parts, case: Case) -> None:
    """The client's reply and the headers in the mailbox are those that the file expects."""
    sandwich, antispam, *clamds = parts
    tables = case.tables_with(case.servers([clamd.address for clamd in clamds], str(antispam.address)))
    sandwich.run_with({"milter": {"workers": 1}, **tables})  # so that a server is down for all as soon as for one
    for engine in case.answers:  # without a result of its first self-test it would count as down already
        wait_until(partial(is_up, sandwich, engine), PATIENCE, f"{engine} to be up")
    message_id = new_message_id()
    head = [(b"Message-ID", f" {message_id}".encode()), *case.headers]
    message = b"".join(b"%b:%b\r\n" % header for header in head) + b"\r\n" + case.body
    with ExitStack() as stack:
        fakes: list[FakeClamd | FakeAntispam] = case.servers(clamds, antispam)
        for (engine, answer), fake in zip(case.answers.items(), fakes, strict=False):
            down = partial(wait_until_down, sandwich, engine)
            stack.enter_context(decisions.answering(fake, answer, down))
        reads = partial(_reads, sandwich)
        stack.enter_context(decisions.in_force(case, sandwich.folder / "lists.jsonl", reads))
        reply = sent(sandwich.incoming.port, case, message)
    if case.expected.each:
        assert case.deviations_of_each(reply, fates_of(sandwich, case, reply, message_id)) == []
        return
    fate, reason, headers = found(sandwich, reply, message_id)
    assert case.deviations(reply, fate, reason, headers) == []


def _reads(sandwich: ScanningSandwich) -> int:
    return len(sandwich.miltscan.events("lists_read"))


def is_up(sandwich: ScanningSandwich, engine: str) -> bool:
    """Whether this engine, of one server, passes its self-test."""
    return sandwich.miltscan.metric("engine_up", engine=engine) == 1


def wait_until_down(sandwich: ScanningSandwich, engine: str) -> None:
    """Returns when this engine has no server that passes its self-test."""
    wait_until(lambda: sandwich.miltscan.metric("engine_up", engine=engine) == 0, PATIENCE, f"{engine} to be down")


def sent(port: int, case: Case, message: bytes) -> str:
    """One session; the first refusal, or the reply to the message. At RCPT sendmail names the address before ours."""
    with smtplib.SMTP("127.0.0.1", port, "client.example.org", PATIENCE) as session:
        session.ehlo()
        for command in case.commands:
            code, text = session.docmd(str(command))
            if code >= 400:
                return f"{code} {_NAMED.sub(' ', text.decode(), count=1)}"
        code, text = session.data(message)
        return f"{code} {text.decode()}"


def fates_of(sandwich: ScanningSandwich, case: Case, reply: str, message_id: str) -> dict[str, Fate]:
    """What became of each address: in the log, in the mailbox (by local part), or held in the queue."""
    queue_id = reply.split()[2]
    line = sandwich.miltscan.wait_for_message(queue_id=queue_id)
    fates = decisions.fates_in_log(line)
    held = sandwich.incoming.queue / f"hf{queue_id}"
    if held.exists():
        _, reason, headers = found(sandwich, reply, message_id)
        named = re.findall(r"^R[^:]*:(<[^>]*>)$", held.read_text(errors="replace"), re.MULTILINE)
        fates |= dict.fromkeys(named, (decisions.HELD, reason, headers))
        held.rename(sandwich.folder / held.name)
    wait_until(lambda: not (sandwich.incoming.queued() or sandwich.delivery.queued()), PATIENCE, "two empty queues")
    by_name = {address.strip("<>").partition("@")[0]: address for address in case.expected.each}
    for delivered in sandwich.mailbox.find(message_id):
        for one in delivered.recipients:
            address = by_name.get(one.partition("@")[0], one)
            assert address not in fates, f"{address} has the message twice"
            fates[address] = (decisions.DELIVERED, "", delivered.message.items())
    return fates


def found(sandwich: ScanningSandwich, reply: str, message_id: str) -> tuple[str, str, list[tuple[str, str]]]:
    """What became of the message, why it is held, and its headers in the mailbox or the queue."""
    if not reply.startswith("250"):
        assert sandwich.mailbox.find(message_id) == []
        return decisions.REFUSED, "", []
    queue_id = reply.split()[2]
    queued = sandwich.incoming.queue / f"hf{queue_id}"
    line = sandwich.miltscan.wait_for_message(queue_id=queue_id)
    action = line["action"]
    if action == "hold":
        text = queued.read_text(errors="replace")
        (reason,) = re.findall(r"^q(.*)$", text, re.MULTILINE)
        return decisions.HELD, reason, re.findall(r"^H\?[^?]*\?([^:\n]+): (.*)$", text, re.MULTILINE)
    if action in {"discard", "quarantine"}:
        wait_until(lambda: not sandwich.incoming.queued(), PATIENCE, "an empty queue")
        assert sandwich.mailbox.find(message_id) == []
        stored = Files(sandwich.folder / "quarantine").find(line["entry"]).exists() if line["entry"] else False
        assert stored is (line["area"] is not None)
        return (decisions.DISCARDED, "", []) if action == "discard" else (decisions.QUARANTINED, line["area"], [])
    return decisions.DELIVERED, "", [*sandwich.mailbox.wait_for(message_id).message.items()]
