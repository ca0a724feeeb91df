"""The data of a message for its trace, and that sending it never makes a worker wait."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from miltscan.core.action import Decision, TempFail
from miltscan.core.action import Reply as SmtpReply
from miltscan.core.message import Client
from miltscan.core.report import Report
from miltscan.core.verdict import Fault, Verdict
from miltscan.telemetry import service_metrics, stream, traces

MakeReport = Callable[..., Report]
HOSTILE = "\x1b\u202e\udcff\U000e0001" * 300
WORST = "\U0001d518" * 300


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a trace channel."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ends[1].settimeout(0)
    yield ends
    for end in ends:
        end.close()


def _taken(end: socket.socket) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        try:
            data = end.recv(10 * stream.DATAGRAM)
        except BlockingIOError:
            return found
        assert len(data) <= stream.DATAGRAM
        found += json.loads(data)


def _dropped() -> float:
    (family,) = service_metrics.TRACES.child("dropped").collect()
    return family.samples[0].value


def test_the_record_of_a_message(make_report: MakeReport) -> None:
    """A record has outcome and times, and no address of a person."""
    assert traces.trace_record(make_report(), 5, addresses=False) == {
        "ended": 5,
        "seconds": 0.0134,
        "waited": 0.0001,
        "failed": False,
        "attributes": {
            "miltscan.queue_id": "4AB12CD3",
            "miltscan.direction": "outbound",
            "miltscan.size": 3000,
            "miltscan.outcome": "clean",
            "miltscan.rule": "clean",
            "miltscan.action": "accept",
        },
        "engines": [
            {
                "name": "clamd",
                "seconds": 0.01234,
                "failed": False,
                "attributes": {
                    "miltscan.engine": "clamd",
                    "miltscan.server": "unix:/run/clamd.ctl",
                    "miltscan.outcome": "clean",
                },
            }
        ],
    }


def test_the_record_of_a_failure(make_report: MakeReport) -> None:
    """A record has the fault and the reply code, and not the engine's text, which may contain anything."""
    verdict = Verdict.error("clamd", Fault.CLOSED, "secret", "unix:/a")
    record = traces.trace_record(
        make_report(verdict, Decision(TempFail(SmtpReply(451, "4.7.1", "later")), "policy.on_error")),
        5,
        addresses=False,
    )
    assert record["failed"]
    assert record["engines"][0]["failed"]
    assert (record["attributes"]["miltscan.reason"], record["attributes"]["miltscan.reply_code"]) == ("closed", 451)
    assert "secret" not in json.dumps(record)


@pytest.mark.parametrize("text", [HOSTILE, WORST], ids=["hostile", "worst"])
def test_attributes_are_clean_and_bounded(
    make_report: MakeReport, channel: tuple[socket.socket, socket.socket], text: str
) -> None:
    """With any text in every field of many messages, each message arrives in datagrams that fit."""
    data = text.encode("utf-8", "surrogateescape")
    report = make_report(
        Verdict.infected("clamd", text, "unix:/a"),
        client=Client(text, text),
        sender=data,
        recipients=(data,) * 500,
        message_id=data,
    )
    sender = traces.Traces(channel[0], addresses=True)
    got: list[dict[str, Any]] = []
    for _ in range(60):
        sender.add(report)
    while len(got) < 60:
        sender.send()
        some = _taken(channel[1])
        assert some
        got += some
    texts = [
        text for value in got[0]["attributes"].values() for text in (value if isinstance(value, list) else [value])
    ]
    assert len([text for text in texts if isinstance(text, str)]) >= 26
    assert all(len(text) <= 200 and text.isprintable() for text in texts if isinstance(text, str))


def test_a_tracer_that_reads_nothing_delays_nothing(
    make_report: MakeReport, channel: tuple[socket.socket, socket.socket]
) -> None:
    """What fits stays in order, the rest is dropped and counted, and later messages are sent again."""
    sender = traces.Traces(channel[0], addresses=False)
    for number in range(6 * stream.WAITING):
        sender.add(make_report()._replace(seconds=number))
        if number % 1000 == 0:
            sender.send()
    kept = 0
    while got := _taken(channel[1]):
        assert [record["seconds"] for record in got] == [*range(kept, kept + len(got))]
        kept += len(got)
        sender.send()
    assert kept >= stream.WAITING
    assert kept + _dropped() == 6 * stream.WAITING
    sender.add(make_report())
    sender.send()
    assert len(_taken(channel[1])) == 1


def test_a_tracer_that_is_gone_costs_its_traces_alone(
    make_report: MakeReport, channel: tuple[socket.socket, socket.socket]
) -> None:
    """Sending to a tracer that has ended raises nothing."""
    channel[1].close()
    sender = traces.Traces(channel[0], addresses=False)
    sender.add(make_report())
    sender.send()


def test_the_packages_are_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages are there in the tests, and their absence is noticed."""
    pytest.importorskip("opentelemetry.sdk")  # Debian does not have it
    assert traces.installed()
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert not traces.installed()
