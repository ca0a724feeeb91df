"""`miltscan trace` on the logs of a real sandwich: by queue ID and by Message-ID, for each status of a message."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness import messages
from tests.harness.client import RECIPIENT, SENDER, new_message_id, text_message
from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder


@pytest.fixture(scope="module")
def fragile() -> Iterator[ScanningSandwich]:
    """A sandwich in which tests stop parts."""
    tables: Tables = {"clamd": {"canary_interval": "3s"}, "milter": {"workers": 1}}
    with private_folder() as folder, ScanningSandwich(folder, tables) as sandwich:
        yield sandwich


@pytest.fixture
def sandwich(fragile: ScanningSandwich) -> Iterator[ScanningSandwich]:
    """The same sandwich, repaired after each test."""
    yield fragile
    fragile.repair()


def run(sandwich: ScanningSandwich, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The result of running the program on the logs of the sandwich."""
    logs = ["--log", str(sandwich.syslog.file), "--log", str(sandwich.miltscan.running.log)]
    return in_process("trace", *logs, *arguments)


def traced(sandwich: ScanningSandwich, subject: str, status: str) -> dict[str, Any]:
    """The only trace of a message, as soon as it has this status."""

    def found() -> dict[str, Any] | None:
        lines = run(sandwich, "--json", subject).stdout.splitlines()
        traces = [json.loads(line) for line in lines]
        return traces[0] if [trace["status"] for trace in traces] == [status] else None

    return wait_until(found, PATIENCE, f"a trace of {subject} with status {status}")


def scan_of(trace: dict[str, Any]) -> dict[str, Any]:
    """The fields of miltscan's line in a trace."""
    (fields,) = [event["fields"] for event in trace["events"] if event["kind"] == "scan"]
    assert isinstance(fields, dict)
    return fields


def test_accepted(sandwich: ScanningSandwich) -> None:
    """Each name of the message finds client, envelope, verdict, decision, handoff and each recipient's delivery."""
    message_id = new_message_id()
    recipients = [RECIPIENT, "someone@elsewhere.example"]
    handed = f" {sandwich.send(text_message(message_id), recipients=recipients).queue_id}: to="
    wait_until(lambda: sum(handed in line for line in sandwich.syslog.lines()) == 2, PATIENCE, "both copies in the log")
    trace = traced(sandwich, message_id, "delivered")
    incoming, *delivery = trace["queue_ids"]
    assert len(delivery) == 2
    assert sandwich.wait_for_trace(message_id).incoming == incoming
    assert [traced(sandwich, queue_id, "delivered") for queue_id in trace["queue_ids"]] == [trace] * 3
    assert sorted((one["recipient"], one["dsn"]) for one in trace["recipients"]) == [
        ("<recipient>", "2.0.0"),
        ("<someone@elsewhere.example>", "2.0.0"),
    ]
    kinds = [event["kind"] for event in trace["events"] if event["queue_id"] == incoming]
    # sendmail's lines have whole seconds: those of one second may stand on either side of the scan
    assert sorted(kinds) == ["delivery", "delivery", "envelope", "milter", "milter", "scan"]
    scan = scan_of(trace)
    assert (scan["sender"], scan["client_address"], scan["rule"]) == (f"<{SENDER}>", "127.0.0.1", "clean")
    assert [(engine["engine"], engine["outcome"]) for engine in scan["engines"]] == [("clamd", "clean")]


def test_timeline(sandwich: ScanningSandwich) -> None:
    """The text names both sendmails and their queue IDs."""
    message_id = new_message_id()
    assert sandwich.send(text_message(message_id)).code == 250
    sandwich.mailbox.wait_for(message_id)
    incoming, delivery = traced(sandwich, message_id, "delivered")["queue_ids"]
    text = run(sandwich, incoming).stdout
    assert text.startswith(f"Message {message_id}: delivered\nQueue IDs: {incoming} -> {delivery}\n")
    assert f"incoming  {incoming}  to <{RECIPIENT}>: handed over as {delivery}" in text
    assert f"delivery  {delivery}  to <recipient>: Sent" in text
    assert "decision: accept, by rule clean" in text


def test_rejected(sandwich: ScanningSandwich) -> None:
    """The trace has the signature and the reply to the client."""
    mail = messages.infected()
    reply = sandwich.send(messages.as_wire(mail))
    trace = traced(sandwich, mail["Message-ID"], "rejected")
    assert (scan_of(trace)["outcome"], scan_of(trace)["reply"]) == ("infected", str(reply))
    assert [one["status"] for one in trace["recipients"]] == ["rejected"]


def test_tempfailed(sandwich: ScanningSandwich) -> None:
    """A message is tempfailed while the engine is down."""
    message_id = new_message_id()
    sandwich.clamd.stop()
    sandwich.miltscan.wait_for_engines(0)
    assert sandwich.send(text_message(message_id)).code == 451
    assert scan_of(traced(sandwich, message_id, "tempfailed"))["outcome"] == "unscanned"


def test_tempfailed_then_accepted(sandwich: ScanningSandwich) -> None:
    """Each attempt of a client has its own queue ID and trace."""
    message_id = new_message_id()
    sandwich.clamd.stop()
    assert sandwich.send(text_message(message_id)).code == 451
    sandwich.clamd.start()
    sandwich.clamd.wait_ready()
    sandwich.retry(text_message(message_id))
    sandwich.mailbox.wait_for(message_id)

    def statuses() -> list[str]:
        return [json.loads(line)["status"] for line in run(sandwich, "--json", message_id).stdout.splitlines()]

    wait_until(lambda: statuses()[-1] == "delivered", PATIENCE, "the delivery in the log")
    assert set(statuses()[:-1]) == {"tempfailed"}


def test_deferred_then_delivered(sandwich: ScanningSandwich) -> None:
    """A message is deferred while the delivery sendmail is stopped; the trace has each attempt."""
    message_id = new_message_id()
    sandwich.delivery.stop()
    assert sandwich.send(text_message(message_id)).code == 250
    before = traced(sandwich, message_id, "deferred")
    assert len(before["queue_ids"]) == 1
    assert before["recipients"][0]["dsn"] == "4.4.1"
    sandwich.delivery.start()
    sandwich.delivery.wait_ready()
    sandwich.incoming.drain()
    sandwich.mailbox.wait_for(message_id)
    trace = traced(sandwich, message_id, "delivered")
    incoming, delivery = trace["queue_ids"]
    assert [event["handed_over_as"] for event in trace["events"] if event["kind"] == "delivery"] == [
        None,
        delivery,
        None,
    ]
    assert before["queue_ids"] == [incoming]


def test_not_found(sandwich: ScanningSandwich) -> None:
    """An unknown message is one line and status 1."""
    result = run(sandwich, "<no-such-message@example.org>")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
