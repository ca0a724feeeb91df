"""Traces by OpenTelemetry: what a real collector gets, and that none of its troubles is mail's."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.fakes.collector import attributes, collector
from tests.fakes.eicar import EICAR
from tests.fakes.mta import Message
from tests.harness.processes import wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

PATIENCE = 30.0
BROKEN = str(Path(__file__).with_name("broken_service.py"))
HOSTILE = b'<"\x1b[2J\xff' + b"x" * 900 + b'"@example.org>'


@pytest.fixture
def traced(own: Fleet) -> Callable[..., Daemon]:
    """A service that is ready and up, and sends its traces there."""

    def to(endpoint: str, **settings: object) -> Daemon:
        daemon = own(tracing__endpoint=endpoint, **settings)
        daemon.start()
        daemon.wait_ready()
        wait_until(daemon.engines_up, PATIENCE, "an engine that is up")
        return daemon

    return to


def test_a_message_is_a_span_with_its_parts(traced: Callable[..., Daemon]) -> None:
    """Names, times, ids, outcome; a stop exports what is left; no address leaves the host."""
    with collector() as there:
        daemon = traced(there.url)
        assert daemon.send(Message(queue_id=b"CLEAN", sender=HOSTILE)).accepted
        wait_until(lambda: "CLEAN" in there.messages(), PATIENCE, "the span")
        daemon.send(Message(queue_id=b"VIRUS", body=EICAR))
        assert daemon.stop() == 0
        spans = there.messages()
        assert set(spans) == {"CLEAN", "VIRUS"}
        assert daemon.logged("tracing_works")
    assert there.resource["service.name"] == "miltscan"
    assert spans["CLEAN"].trace_id != spans["VIRUS"].trace_id
    for queue_id, outcome, action in (("CLEAN", "clean", "accept"), ("VIRUS", "infected", "reject")):
        line, whole = daemon.line_of(queue_id), spans[queue_id]
        got = attributes(whole)
        assert (got["miltscan.outcome"], got["miltscan.action"], got["miltscan.size"]) == (
            outcome,
            action,
            line["size"],
        )
        assert (whole.name, len(whole.trace_id), len(whole.span_id)) == ("message", 16, 8)
        assert whole.end_time_unix_nano - whole.start_time_unix_nano == pytest.approx(line["total_ms"] * 1e6, abs=1e5)
        wait, scan = there.parts(whole)
        assert (wait.name, scan.name, scan.trace_id) == ("wait for a scan slot", "scan clamd", whole.trace_id)
        assert attributes(scan)["miltscan.server"] == daemon.clamd.address
        assert scan.end_time_unix_nano - scan.start_time_unix_nano == pytest.approx(
            line["engines"][0]["ms"] * 1e6, abs=1e5
        )
        assert whole.start_time_unix_nano == wait.start_time_unix_nano
        assert wait.end_time_unix_nano == scan.start_time_unix_nano
        assert scan.end_time_unix_nano <= whole.end_time_unix_nano
    assert attributes(spans["VIRUS"])["miltscan.signature"] == "Eicar-Test-Signature"
    assert not any(word in str(span) for span in there.spans for word in ("example.org", "192.0.2.1", "client."))


def test_addresses_are_traced_if_wanted(traced: Callable[..., Daemon]) -> None:
    """Attributes are short and printable, with any text."""
    with collector() as there:
        daemon = traced(f"{there.url}/v1/traces", tracing__addresses=True)
        daemon.send(Message(queue_id=b"A", sender=HOSTILE, recipients=(HOSTILE,) * 30))
        wait_until(lambda: "A" in there.messages(), PATIENCE, "the span")
        got = attributes(there.messages()["A"])
        daemon.stop()
    assert got["miltscan.client_address"] == "192.0.2.1"
    assert str(got["miltscan.sender"]).startswith('<"\\x1b[2J\\xff')
    recipients = got["miltscan.recipients"]
    assert isinstance(recipients, list)
    assert len(recipients) == 20
    assert all(len(text) <= 200 and text.isprintable() for text in (got["miltscan.sender"], *recipients))


@pytest.mark.parametrize("there", ["refused", "broken", "silent"])
def test_a_collector_in_trouble_is_nobody_elses(traced: Callable[..., Daemon], there: str) -> None:
    """A collector that is absent, answers 500 or never answers stops no mail; the loss is counted and logged once."""
    with collector() as fake, socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        if there == "refused":
            closed.close()
        fake.status = 500
        daemon = traced(fake.url if there == "broken" else url)
        for _ in range(20):
            assert daemon.send().accepted
        wait_until(lambda: daemon.metric("traces_total", result="failed") >= 1, PATIENCE, "a loss")
        wait_until(lambda: daemon.metric("traces_total", result="failed") == 20, PATIENCE, "all of the loss")
        assert daemon.send().accepted
        assert len(daemon.logged("tracing_fails")) == 1
        assert daemon.logged("child_died") == []
        assert daemon.stop() == 0


def test_tracing_goes_on_when_the_collector_is_back(traced: Callable[..., Daemon]) -> None:
    """Traces that are sent while the tracer is dead wait for the next one."""
    with collector() as there:
        there.status = 400
        daemon = traced(there.url)
        daemon.send(Message(queue_id=b"LOST"))
        daemon.wait_logged("tracing_fails")
        there.status = 200
        daemon.send(Message(queue_id=b"TAKEN"))
        wait_until(lambda: "TAKEN" in there.messages(), PATIENCE, "the span")
        daemon.wait_logged("tracing_works")
        tracer_of(daemon).kill()
        daemon.send(Message(queue_id=b"BETWEEN"))
        wait_until(lambda: "BETWEEN" in there.messages(), PATIENCE, "the span")
        assert daemon.metric("worker_respawns_total") == 0
        assert daemon.stop() == 0
    assert set(there.messages()) == {"TAKEN", "BETWEEN"}


def tracer_of(daemon: Daemon) -> psutil.Process:
    """The one process that has opentelemetry in its memory: the largest."""
    return max(daemon.children(), key=lambda child: child.memory_info().rss)


def test_only_the_tracer_loads_opentelemetry(traced: Callable[..., Daemon], own: Fleet) -> None:
    """Protobuf's extension module is mapped in one process; without tracing there is no such process."""
    with collector() as there:
        daemon, other = traced(there.url), own()
        other.start()
        daemon.send()
        wait_until(lambda: there.spans, PATIENCE, "a span")
        loaded = [child for child in daemon.children() if "_upb" in maps(child)]
        assert loaded == [tracer_of(daemon)]
        other.wait_ready()
        assert len(other.children()) == 2
        assert not any("_upb" in maps(child) for child in other.children())
        assert daemon.stop() == 0
        assert other.stop() == 0


def maps(process: psutil.Process) -> str:
    """The files in its memory."""
    return Path(f"/proc/{process.pid}/maps").read_text()


def test_without_the_packages_the_service_runs(own: Fleet) -> None:
    """One clear line names what to install."""
    daemon = own(tracing__endpoint="http://127.0.0.1:4318")
    daemon.command = (sys.executable, BROKEN, "no-otel", "run")
    daemon.start()
    daemon.wait_ready()
    (line,) = daemon.logged("tracing_off")
    remedy = "pip install --no-build-isolation --require-hashes -r deploy/requirements-otel.txt"
    assert line["why"] == f"OpenTelemetry is not installed. Run: {remedy}"
    assert daemon.send().accepted
    assert len(daemon.children()) == 2
    assert daemon.stop() == 0
