"""What can be observed of a message: its log line next to sendmail's, the metrics, a Prometheus."""

from typing import Any

import psutil
import pytest

from tests.harness import messages
from tests.harness.client import RECIPIENT, SENDER, new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.prometheus import Prometheus


def test_log_line_of_an_accepted_message(sandwich: ScanningSandwich) -> None:
    """The queue ID of the line is the one that sendmail logs and the client receives."""
    message_id = new_message_id()
    message = text_message(message_id)
    reply = sandwich.send(message)
    trace = sandwich.wait_for_trace(message_id)
    line = sandwich.miltscan.wait_for_message(message_id=message_id)
    expected = {
        "level": "info",
        "queue_id": trace.incoming,
        "client_address": "127.0.0.1",
        "sender": f"<{SENDER}>",
        "recipients": [f"<{RECIPIENT}>"],
        "size": len(message),
        "outcome": "clean",
        "rule": "clean",
        "action": "accept",
        "reply": None,
    }
    assert {name: line[name] for name in expected} == expected
    assert f" {trace.incoming} " in reply.text
    assert [(engine["engine"], engine["outcome"]) for engine in line["engines"]] == [("clamd", "clean")]
    assert line["worker"] in {0, 1}


def test_log_line_of_a_refused_message(sandwich: ScanningSandwich) -> None:
    """Signature, rule and reply are those of the client's reply, which has the queue ID that sendmail logs."""
    mail = messages.infected()
    reply = sandwich.send(messages.as_wire(mail))
    line = sandwich.miltscan.wait_for_message(reply=str(reply))
    assert (line["outcome"], line["rule"], line["action"]) == ("infected", "policy.on_infected", "reject")
    assert line["signature"] in reply.text
    assert f"({line['queue_id']})" in reply.text
    sandwich.syslog.wait_for(rf"{line['queue_id']}: Milter: data, reject=550 5\.7\.1 Virus found")


def test_hostile_bytes_stay_in_their_line(sandwich: ScanningSandwich) -> None:
    """A Message-ID and a sender with control and 8-bit bytes are logged as printable text, in one line."""
    mark = new_message_id().strip("<>")
    hostile = text_message("<MARK>").replace(b"<MARK>", b"<\x1b[2J\xff\xe2\x80\xae" + mark.encode() + b">")
    assert sandwich.send(hostile, sender='"a\x1b[31m"@example.org').code == 250
    wait_until(lambda: mark in sandwich.miltscan.running.log.read_text(), PATIENCE, "the log line")
    raw = next(line for line in sandwich.miltscan.running.log.read_text().splitlines() if mark in line)
    assert raw.isprintable()
    assert raw.isascii()


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("messages_total", {"direction": "internal", "outcome": "clean", "action": "accept"}),
        ("messages_total", {"direction": "internal", "outcome": "infected", "action": "reject"}),
        ("messages_total", {"direction": "internal", "outcome": "unscanned", "action": "accept"}),
        ("unscanned_total", {"reason": "encrypted"}),
        ("smtp_replies_total", {"code": "250"}),
        ("smtp_replies_total", {"code": "550"}),
        ("message_size_bytes_count", {}),
        ("scan_duration_seconds_count", {"engine": "clamd"}),
    ],
)
def test_counters_move(sandwich: ScanningSandwich, name: str, labels: dict[str, str]) -> None:
    """Each message moves the counters of what became of it."""
    before = sandwich.miltscan.metric(name, **labels)
    for mail in (
        text_message(new_message_id()),
        messages.as_wire(messages.infected()),
        messages.as_wire(messages.with_attachment("Encrypted", messages.encrypted_zip())),
    ):
        sandwich.send(mail)
    wait_until(lambda: sandwich.miltscan.metric(name, **labels) > before, PATIENCE, f"more of {name} {labels}")


def test_nothing_went_wrong_unseen(sandwich: ScanningSandwich) -> None:
    """After all these messages no exception, no lost log line and no dead worker is counted."""
    assert sandwich.miltscan.metric("build_info") == 1
    for name in ("exceptions_total", "log_lines_lost_total", "worker_respawns_total"):
        assert sandwich.miltscan.metric(name) == 0, name


def test_prometheus_reads_the_exporter(sandwich: ScanningSandwich) -> None:
    """A real Prometheus finds the exporter up and answers with what it has read."""
    assert sandwich.send(text_message(new_message_id())).code == 250
    prometheus = Prometheus.start(sandwich.programs, sandwich.miltscan.exporter_port)
    try:
        wait_until(lambda: prometheus.query('up{job="miltscan"}') == [1.0], PATIENCE, "up == 1")
        wait_until(lambda: prometheus.query("sum(miltscan_messages_total) >= 1"), PATIENCE, "the message in Prometheus")
        assert prometheus.query("miltscan_build_info") == [1.0]
    finally:
        prometheus.program.terminate()


def test_everything_listens_on_loopback_only(sandwich: ScanningSandwich) -> None:
    """No part of the sandwich, the exporter included, can be reached from elsewhere; none needs IPv6."""
    processes = [psutil.Process(program.pid) for program in sandwich.programs.running if program.alive]
    everyone = [one for process in processes for one in (process, *process.children(recursive=True))]
    listening = {address for one in everyone for address in listeners(one)}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert len(listening) >= 5


def listeners(process: psutil.Process) -> list[Any]:
    """The addresses that it listens on; none if it has ended meanwhile, as a delivery does."""
    try:
        return [c.laddr for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except psutil.NoSuchProcess:
        return []
