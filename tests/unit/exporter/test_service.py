"""The exporter: its responses, and that neither a peer nor a fault keeps it from the next one."""

import asyncio
import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from miltscan.config.keyfile import Loaded
from miltscan.config.settings import Settings
from miltscan.core.finding import Finding
from miltscan.errors import StartError
from miltscan.exporter import health, service
from miltscan.exporter.exchange import Request
from miltscan.exporter.http_server import Refusal
from miltscan.processes import listener
from miltscan.processes.link import ChildLink, link_pair
from miltscan.status.samples import Numbers
from miltscan.telemetry import engine_metrics, family, service_metrics
from tests.harness.processes import PATIENCE, wait_until

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SERVER = "unix:/run/clamd.ctl"
CANARY = "miltscan_canary_last_success_timestamp_seconds"
UP = "miltscan_engine_up"


@dataclass(frozen=True, slots=True)
class Running:
    """An exporter and its inputs."""

    pid: int
    port: int
    directory: Path
    lifeline: ChildLink


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Run an exporter in a separate process on a free port, as the supervisor does."""
    web = listener.bind_http("127.0.0.1", 0)
    link, lifeline = link_pair()

    def child() -> None:
        lifeline.close()
        service.serve_exporter(web, tmp_path, Settings(), link)

    pid = _fork(child)
    port = web.getsockname()[1]
    web.close()
    link.close()
    yield Running(pid, port, tmp_path, lifeline)
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    lifeline.close()


def _worker(directory: Path, *, canary_age: float | None = None, workers: int = 1) -> None:
    """Count what a service with `workers` workers would have counted."""

    def work() -> None:
        family.attach(directory, "0")
        service_metrics.WORKERS.child().set(workers)
        if canary_age is not None:
            engine_metrics.ENGINE_UP.child("clamd", SERVER).set(1)
            engine_metrics.CANARY_PASSED.child("clamd", SERVER).set(time.time() - canary_age)

    assert os.waitpid(_fork(work), 0)[1] == 0


def _ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def _raw(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        with contextlib.suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(OSError):
            while chunk := client.recv(65536):
                received += chunk
        return received


def test_metrics_as_text(running: Running) -> None:
    """A plain scrape receives the text format."""
    _worker(running.directory)
    response, body = _ask(running.port, "/metrics?x=1")
    assert (response.status, (response.getheader("Content-Type") or "").partition(";")[0]) == (200, "text/plain")
    assert "miltscan_workers" in {family.name for family in parse_text(body.decode())}


def test_metrics_as_openmetrics(running: Running) -> None:
    """Prometheus, which prefers OpenMetrics, receives it."""
    _worker(running.directory)
    response, body = _ask(running.port, "/metrics", Accept=OPENMETRICS)
    assert (response.getheader("Content-Type") or "").startswith("application/openmetrics-text")
    assert "miltscan_workers" in {family.name for family in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "accept",
    [
        *("", "*/*", "text/html", ",;=", "text/plain;version=zz", "application/openmetrics-text;version=1.x"),
        *("text/plain;version=", "text/plain;version=1.0.0;escaping=zz", "text/plain;version=9;escaping=allow-utf-8"),
        *("application/openmetrics-text;version=1\xa0.0", f"text/plain;version={'9' * 5000}", "\xff;version=-"),
    ],
)
def test_metrics_for_any_accept_header(accept: str, running: Running) -> None:
    """A header that names no known format, or none at all, is answered with metrics."""
    _worker(running.directory)
    response, body = _ask(running.port, "/metrics", Accept=accept)
    assert (response.status, b"miltscan_workers" in body) == (200, True)


def test_metrics_compressed(running: Running) -> None:
    """A client that accepts gzip receives it."""
    _worker(running.directory)
    response, body = _ask(running.port, "/metrics", Accept_Encoding="gzip")
    assert response.getheader("Content-Encoding") == "gzip"
    assert b"miltscan_workers 1.0" in gzip.decompress(body)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("HEAD", "/metrics", 200),
        ("HEAD", "/nothing", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/../etc/passwd", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/", 405),
    ],
)
def test_only_its_pages_only_to_be_read(running: Running, method: str, path: str, status: int) -> None:
    """Other paths and methods are refused, and HEAD has no body."""
    answer = _raw(running.port, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert bool(body) is (method != "HEAD")


def test_it_is_ready_once_worker_and_canary_are(running: Running) -> None:
    """The service is ready when a worker is running and a self-test has passed, not before."""
    response, body = _ask(running.port, "/readyz")
    assert (response.status, body) == (503, b"workers: none is running\nclamd: no server has passed its self-test\n")
    assert _ask(running.port, "/healthz")[0].status == 503
    _worker(running.directory)
    assert _ask(running.port, "/healthz")[0].status == 200
    assert _ask(running.port, "/readyz")[0].status == 503
    _worker(running.directory, canary_age=1)
    response, body = _ask(running.port, "/readyz")
    assert (response.status, body) == (200, b"ok\n")


def _numbers(workers: float, *servers: tuple[str, str, float, float]) -> Numbers:
    """What workers count of servers: engine, server, when it last passed its self-test, whether it is up."""
    numbers: list[tuple[str, dict[str, str], float]] = [("miltscan_workers", {}, workers)]
    for engine, server, passed, up in servers:
        labels = {"engine": engine, "server": server}
        numbers += [(CANARY, labels, passed), (UP, labels, up)]
    return Numbers(numbers)


def test_the_standard_metrics_of_the_exporter(tmp_path: Path) -> None:
    """Dashboards that read the standard metrics of a process work with the exporter, too."""
    _worker(tmp_path, canary_age=1)
    text = service.respond(service.ExporterState(tmp_path, Settings()), Request("GET", "/metrics")).body.decode()
    names = {family.name for family in parse_text(text)}
    assert {"process_resident_memory_bytes", "process_start_time_seconds", "python_info", "miltscan_workers"} <= names
    assert len(names) == text.count("# TYPE ")


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return each finding without level and remedy."""
    return [finding.line for finding in findings]


@pytest.mark.parametrize(
    ("numbers", "reasons"),
    [
        (Numbers([]), ["workers: none is running", "clamd: no server has passed its self-test"]),
        (_numbers(0, ("clamd", "a", 995, 1)), ["workers: none is running"]),
        (_numbers(1, ("clamd", "a", 970, 1)), []),
        (_numbers(1, ("clamd", "a", 1, 0), ("clamd", "b", 990, 1)), []),
        (_numbers(1, ("clamd", "a", 969, 1)), ["clamd a: last passed its self-test 31 s ago; the limit is 30 s"]),
        (_numbers(1, ("clamd", "a", 995, 0)), ["clamd a: is down; it last passed its self-test 5 s ago"]),
        (_numbers(1, ("other", "a", 995, 1)), ["clamd: no server has passed its self-test"]),
    ],
)
def test_reasons_not_to_be_ready(numbers: Numbers, reasons: list[str]) -> None:
    """One worker, and one server that is up and passed its self-test lately, are enough; else each reason is a line."""
    assert lines(health.unready(numbers, Settings(), 1000.0)) == reasons


@pytest.mark.parametrize(
    ("up", "reasons"),
    [
        ("first second third", []),
        ("first second", []),
        ("first third", ["second s: is down; it last passed its self-test 5 s ago"]),
        ("third", [f"{name} s: is down; it last passed its self-test 5 s ago" for name in ("first", "second")]),
    ],
)
def test_every_required_engine_needs_a_server(up: str, reasons: list[str]) -> None:
    """A server of one engine does not stand in for that of another, and an optional engine does not count."""
    tables = (("first", True), ("second", True), ("third", False))
    engines = [{"type": "clamd", "name": name, "required": required} for name, required in tables]
    numbers = _numbers(1, *((name, "s", 995, name in up) for name, _ in tables))
    assert lines(health.unready(numbers, Settings.model_validate({"engine": engines}), 1000.0)) == reasons


def test_the_reason_of_a_server_that_is_down_is_named() -> None:
    """With the reason of its last self-test a finding has the remedy that `check` has."""
    numbers, reasons = _numbers(1, ("clamd", "a", 995, 0)), {("clamd", "a"): "cannot start: /d has no signatures"}
    (found,) = health.unready(numbers, Settings(), 1000.0, reasons)
    assert found.line == "clamd a: cannot start: /d has no signatures; it last passed its self-test 5 s ago"
    assert "freshclam" in found.remedy
    (never,) = health.unready(_numbers(1), Settings(), 1000.0, {("clamd", "a"): "connect: Connection refused"})
    assert (never.line, never.remedy) == (
        "clamd a: fails its self-test: connect: Connection refused",
        "start it (Debian: systemctl start clamav-daemon), and read its log",
    )


@pytest.mark.parametrize(
    ("upkeep", "unready", "degraded"),
    [
        ({"0": 999, "1": 986, "exporter": 900}, [], []),
        ({"0": 999, "1": 984}, [], ["worker 1: hangs: no sign of life for 16 s; miltscan replaces it after 30 s"]),
        ({"0": 984}, ["worker 0: hangs: no sign of life for 16 s; miltscan replaces it after 30 s"], []),
    ],
)
def test_a_worker_that_hangs_is_named(upkeep: dict[str, float], unready: list[str], degraded: list[str]) -> None:
    """One of several is a warning, the last one that worked stops mail."""
    good = [("miltscan_workers", {}, 2.0), (UP, {"engine": "clamd", "server": "a"}, 1.0)]
    canary = [(CANARY, {"engine": "clamd", "server": "a"}, 999.0)]
    beats = [("miltscan_process_upkeep_timestamp_seconds", {"process": name}, at) for name, at in upkeep.items()]
    numbers = Numbers([*good, *canary, *beats])
    assert lines(health.unready(numbers, Settings(), 1000.0)) == unready
    assert lines(health.degraded(numbers, Settings(), 1000.0)) == degraded


@pytest.mark.parametrize(
    ("seen", "named"),
    [
        ({"spool_free_bytes": 2**30, "quarantine_free_bytes": 2**30}, []),
        (
            {"spool_free_bytes": 2**20, "quarantine_free_bytes": 0},
            [
                "spool.directory: 1MiB free, less than one message of limits.message_size = 100MiB",
                "quarantine.directory: 0MiB free, less than one message of limits.message_size = 100MiB",
            ],
        ),
        ({"keeper_configured": 1, "keeper_last_round_timestamp_seconds": 700.0}, []),
        (
            {"keeper_configured": 1, "keeper_last_round_timestamp_seconds": 400.0},
            ["keeper: has completed no round for 10 minutes: it releases, rescans and deletes nothing"],
        ),
        ({"keeper_configured": 0, "keeper_last_round_timestamp_seconds": 400.0}, []),
    ],
)
def test_a_full_folder_and_a_silent_keeper_are_named(seen: dict[str, float], named: list[str]) -> None:
    """Mail is scanned, and what has to be stored is not; the words are those of `check`."""
    numbers = Numbers([(f"miltscan_{name}", {}, value) for name, value in seen.items()])
    assert lines(health.degraded(numbers, Settings(), 1000.0)) == named


WELL = {"clean": 1.0, "signature": 1.0}
FRESH = {"clean": 990.0, "signature": 990.0}


@pytest.mark.parametrize(
    ("success", "last", "reasons"),
    [
        (WELL, FRESH, []),
        ({}, {}, ["clean probe: none has ended yet", "signature probe: none has ended yet"]),
        ({**WELL, "clean": 0.0}, FRESH, ["clean probe: failed 10 s ago"]),
        (WELL, {**FRESH, "signature": 700.0}, ["signature probe: the last one ended 300 s ago; the limit is 270 s"]),
    ],
)
def test_failed_and_old_probes_are_reasons(
    success: dict[str, float], last: dict[str, float], reasons: list[str]
) -> None:
    """Each probe must have succeeded lately."""
    settings = Settings.model_validate({"probe": {"interval": "60s", "timeout": "30s"}, "keys": {"file": "/k"}})
    names = "miltscan_probe_success", "miltscan_probe_last_run_timestamp_seconds"
    values = zip(names, (success, last), strict=True)
    numbers = Numbers((name, {"message": kind}, value) for name, of in values for kind, value in of.items())
    assert lines(health.unproven(numbers, settings, 1000.0)) == reasons


@pytest.mark.parametrize(("interval", "ready"), [(60.0, False), (0.0, True)])
def test_probes_that_are_not_sent_do_not_affect_readiness(tmp_path: Path, interval: float, *, ready: bool) -> None:
    """A reload sets probe.readiness at once, but probe.interval only at the next start."""
    _worker(tmp_path, canary_age=1)
    probe = Settings().probe.model_copy(update={"interval": interval, "readiness": True})
    state = service.ExporterState(tmp_path, Settings().model_copy(update={"probe": probe}))
    assert (service.respond(state, Request("GET", "/readyz")).status == HTTPStatus.OK) is ready


@pytest.mark.parametrize(("interval", "level"), [(60.0, "warning"), (0.0, "ok")])
def test_the_page_shows_failed_probes(tmp_path: Path, interval: float, level: str) -> None:
    """The page shows failed probes whether or not /readyz requires them."""
    _worker(tmp_path, canary_age=1)
    chosen = Settings().model_copy(update={"probe": Settings().probe.model_copy(update={"interval": interval})})
    body = service.respond(service.ExporterState(tmp_path, chosen), Request("GET", "/api/status")).body
    status = json.loads(body)
    assessment = status["assessment"]
    assert assessment["level"] == level
    assert {one["since"] for one in [assessment, *assessment["findings"]]} == {status["at"]}
    assert ("clean probe: none has ended yet" in assessment["details"]) is (level == "warning")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics SIP/2.0\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_wrong_requests_do_no_harm(running: Running, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """A wrong request receives 400 or nothing, the next one is served, and nothing is logged."""
    assert _raw(running.port, data)[:12] in {b"", b"HTTP/1.1 400", b"HTTP/1.1 431"}
    assert _ask(running.port, "/")[0].status == 200
    assert capfd.readouterr().err == ""


def test_slow_peers_do_not_delay_others(running: Running) -> None:
    """A scrape is answered while thirty half requests are open."""
    _worker(running.directory)
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
        assert _ask(running.port, "/metrics")[0].status == 200


def test_a_file_that_cannot_be_read_fails_one_scrape_alone(running: Running) -> None:
    """A broken file fails a scrape but does not end the exporter."""
    _worker(running.directory)
    half = running.directory / "counter_9.db"
    half.write_bytes(b"?")
    assert _ask(running.port, "/metrics")[0].status == 500
    half.unlink()
    assert _ask(running.port, "/metrics")[0].status == 200


def test_new_settings_apply(running: Running) -> None:
    """The age that a self-test may have follows the interval of a reload; other orders are ignored."""
    _worker(running.directory, canary_age=31)
    assert _ask(running.port, "/readyz")[0].status == 503
    running.lifeline.send("an order to workers")
    running.lifeline.send(Loaded(Settings.model_validate({"clamd": {"canary_interval": "20s"}}), ()))
    wait_until(lambda: _ask(running.port, "/readyz")[0].status == 200, PATIENCE, "the new settings")


def test_it_ends_at_sigterm(running: Running) -> None:
    """SIGTERM ends the exporter with status 0 and frees the port."""
    assert _ask(running.port, "/")[0].status == 200
    os.kill(running.pid, signal.SIGTERM)
    assert os.waitpid(running.pid, 0)[1] == 0
    listener.bind_http("127.0.0.1", running.port).close()


def test_it_ends_with_its_parent(running: Running) -> None:
    """A supervisor that was killed leaves no exporter behind, even with an open connection."""
    with socket.create_connection(("127.0.0.1", running.port)):
        running.lifeline.close()
        assert os.waitpid(running.pid, 0)[1] == 0


def test_a_second_sigterm_while_it_ends(tmp_path: Path) -> None:
    """The service manager and the supervisor both send one; none of them is written to a descriptor that is closed."""
    web = listener.bind_http("127.0.0.1", 0)
    link, lifeline = link_pair()
    errors, close = tmp_path / "errors", asyncio.BaseEventLoop.close

    def closed(loop: asyncio.BaseEventLoop) -> None:
        close(loop)
        os.kill(os.getpid(), signal.SIGTERM)

    def child() -> None:
        lifeline.close()
        with errors.open("w", buffering=1) as sys.stderr, pytest.MonkeyPatch.context() as changed:
            changed.setattr(asyncio.BaseEventLoop, "close", closed)
            service.serve_exporter(web, tmp_path, Settings(), link)

    pid = _fork(child)
    lifeline.close()
    assert os.waitpid(pid, 0)[1] == 0
    assert errors.read_text() == ""
    web.close()
    link.close()


def test_a_server_that_fails_ends_the_process(tmp_path: Path) -> None:
    """A failed server ends the process, so that the supervisor replaces it."""

    def child() -> None:
        with socket.socket(socket.AF_UNIX) as unfit, open(os.devnull, "wb") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 2)
            service.serve_exporter(unfit, tmp_path, Settings())

    pid = _fork(child)
    try:
        wait_until(
            lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None, PATIENCE, "its end"
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1


def test_every_reason_to_refuse_is_counted_from_the_start() -> None:
    """The values of the label are the reasons of the server."""
    assert service_metrics.HTTP_REFUSED.bounds[0].values == tuple(Refusal)


def test_a_port_in_use_is_named() -> None:
    """A port in use ends the start with the address and the key to change."""
    with (
        listener.bind_http("127.0.0.1", 0) as taken,
        pytest.raises(StartError, match=rf"exporter\.listen.*127\.0\.0\.1:{taken.getsockname()[1]}"),
    ):
        listener.bind_http(*taken.getsockname())


def test_an_unknown_host_is_named() -> None:
    """A host that cannot be resolved is a StartError."""
    with pytest.raises(StartError, match=r"exporter\.listen.*nowhere\.invalid:9464"):
        listener.bind_http("nowhere.invalid", 9464)


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_what_can_be_no_host_name_is_named(host: str) -> None:
    """A name that Python's codec rejects is a StartError as well."""
    with pytest.raises(StartError, match=rf"^exporter\.listen: '{host}' is not a host name$"):
        listener.bind_http(host, 9464)
