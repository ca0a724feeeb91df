"""The values of /metrics of a running service after real load, over a reload and over the death of a worker."""

import re
import signal
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import unless_canary
from tests.fakes.eicar import EICAR
from tests.fakes.mta import Message
from tests.harness.processes import PATIENCE, ProgramError, wait_until
from tests.milter.conftest import private_daemon
from tests.milter.daemon import CHECKOUT, Daemon
from tests.milter.probes import probing

if TYPE_CHECKING:
    from prometheus_client import Metric

DOCUMENTED = re.findall(r"^\| `miltscan_(\w+)` \|", (CHECKOUT / "docs" / "metrics.md").read_text(), re.MULTILINE)
VIRUS = Message(body=EICAR + b"\r\n")
ON_DISK = Message(body=b"x" * 70 + b"\r\n" * 50_000)
SENDERS = 4


@pytest.fixture(scope="module")
def other() -> Iterator[FakeClamd]:
    """A second clamd."""
    with FakeClamd.tcp() as clamd:
        yield clamd


@pytest.fixture(scope="module")
def busy(other: FakeClamd) -> Iterator[Daemon]:
    """Two workers and two servers that have seen clean, infected and large mail, and a fault; one message is queued."""
    with ExitStack() as stack:
        settings = {"milter.workers": 2, "clamd.servers": ["OWN", other.address]}
        settings |= {"policy.on_infected": "quarantine"}  # so that there are a keeper and an entry
        daemon = private_daemon(stack, settings)
        daemon.settings = {**settings, **probing(daemon)}
        daemon.start()
        daemon.wait_ready()
        for name in ("qfA", "dfA"):
            (daemon.folder / "mqueue" / name).write_bytes(b"x" * 100)
        for message in (Message(), VIRUS, ON_DISK):
            daemon.send(message)
        for clamd in (daemon.clamd, other):
            clamd.behaviour = unless_canary(lies.FAULTS["half_reply"])
        daemon.send()
        for clamd in (daemon.clamd, other):
            clamd.behaviour = lies.honest
        yield daemon


def _counters(daemon: Daemon) -> dict[tuple[str, ...], float]:
    return {
        (name, *sorted(map(str, labels.items()))): value
        for name, labels, value in daemon.samples()
        if name.endswith(("_total", "_count", "_sum", "_bucket"))
    }


def _wait_counted(daemon: Daemon) -> None:
    """Until each line of a message is a message counted, with its size and its time."""
    lines = len(daemon.logged("message"))
    for name in ("messages_total", "smtp_replies_total", "message_size_bytes_count", "message_duration_seconds_count"):
        daemon.wait_metric(name, lines)


ELSEWHERE = {
    "optional_engine_unscanned_total",
    "spam_score",
    "spam_actions_total",
    "spam_symbols_total",
    "rule_matches_total",
}
"""Those of engines and rules that this service has not: see test_engines, test_antispam and tests/unit/telemetry."""


def test_every_documented_metric_is_there(busy: Daemon) -> None:
    """And has the series that its page promises."""
    assert len(DOCUMENTED) > 35

    def missing() -> set[str]:
        names = {re.sub("_(bucket|sum|count)$", "", name) for name, _, _ in busy.samples()}
        names |= {name for name, _, _ in busy.samples()}
        return set(DOCUMENTED) - names - ELSEWHERE

    with suppress(ProgramError):
        wait_until(lambda: not missing(), 30, "all of them")
    assert missing() == set()


def test_what_the_load_left(busy: Daemon, other: FakeClamd) -> None:
    """Detections by class and name, scans by server and size, the queue, both clamds' threads, the processes."""
    _wait_counted(busy)
    assert busy.metric("detections_total", **{"class": "Test"}) == 1
    assert busy.metric("signature_detections_total", signature="Eicar-Test-Signature") == 1
    assert busy.metric("scan_duration_seconds_count", size="medium") == 1
    assert busy.metric("scan_duration_seconds_count", engine="clamd") >= 3
    assert busy.metric("message_size_bytes_sum") > 100_000
    for clamd in (busy.clamd, other):
        busy.wait_metric("clamd_threads", 10, server=clamd.address, state="max")
    busy.wait_metric("queue_entries", 1, queue="incoming")
    busy.wait_metric("queue_bytes", 200, queue="incoming")
    busy.wait_metric("queue_readable", 2)
    assert busy.metric("queue_entries", queue="delivery") == 0
    assert not [labels for name, labels, _ in busy.samples() if "oldest" in name and labels.get("queue") == "delivery"]
    assert busy.metric("workers_configured") == 2
    assert busy.metric("spool_files") == busy.metric("spool_bytes") == 0
    processes = {labels["process"] for name, labels, _ in busy.samples() if name == "process_resident_memory_bytes"}
    assert processes - {"prober", "keeper"} == {"supervisor", "exporter", "0", "1"}  # these two report later


def _exemplars(daemon: Daemon) -> dict[str, set[str]]:
    """The queue IDs that OpenMetrics shows, by the sample's name."""
    url = f"http://127.0.0.1:{daemon.port}/metrics"
    request = urllib.request.Request(url, headers={"Accept": "application/openmetrics-text"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310
        families: list[Metric] = [*parse_openmetrics(response.read().decode())]  # type: ignore[no-untyped-call]
    found: dict[str, set[str]] = {}
    for sample in (sample for family in families for sample in family.samples):
        if sample.exemplar:
            found.setdefault(sample.name, set()).add(sample.exemplar.labels["queue_id"])
    return found


def test_exemplars_lead_to_log_lines(busy: Daemon) -> None:
    """Each is the queue ID of a message in the log; that of a detection is the infected one's."""
    (virus,) = busy.logged("message", outcome="infected")
    wait_until(lambda: "miltscan_detections_total" in _exemplars(busy), 30, "exemplars")
    found = _exemplars(busy)
    assert found["miltscan_detections_total"] == {virus["queue_id"]}
    assert {"miltscan_scan_duration_seconds_bucket", "miltscan_message_duration_seconds_bucket"} <= found.keys()
    logged = {line["queue_id"] for line in busy.logged("message")}
    assert set().union(*found.values()) <= logged


def _send_while(daemon: Daemon, change: Callable[[], object]) -> None:
    """Messages over several connections before, during and after `change`."""

    def send(number: int) -> None:
        for _ in range(40):
            daemon.send(VIRUS if number == 0 else None)

    with ThreadPoolExecutor(SENDERS) as pool:
        sent = [pool.submit(send, number) for number in range(SENDERS)]
        change()
        for one in sent:
            one.result()


def test_a_reload_under_load_loses_and_doubles_nothing(busy: Daemon, other: FakeClamd) -> None:
    """As many are counted as lines are logged; a server that went has no series, and the hash is another one."""
    before = _counters(busy)
    (old,) = [labels["hash"] for name, labels, _ in busy.samples() if name == "config_info"]

    def reload() -> None:
        busy.write(milter__workers=2, clamd__servers=["OWN"])
        busy.running.signal(signal.SIGHUP)
        busy.wait_logged("reload")

    _send_while(busy, reload)
    _wait_counted(busy)
    assert len(busy.logged("message")) == 4 + SENDERS * 40
    busy.wait_metric("detections_total", len(busy.logged("message", outcome="infected")))
    after = _counters(busy)
    assert {name: (value, after.get(name)) for name, value in before.items() if after.get(name, -1) < value} == {}

    def gauges() -> set[str]:
        return {name for name, labels, _ in busy.samples() if labels.get("server") == other.address}

    counted = {"scan_duration_seconds_bucket", "scan_duration_seconds_count", "scan_duration_seconds_sum"}
    wait_until(lambda: gauges() <= counted, 30, "the end of the removed server's gauges")
    hashes = [labels["hash"] for name, labels, _ in busy.samples() if name == "config_info"]
    assert len(hashes) == 1
    assert hashes != [old]


def test_no_counter_falls_when_a_worker_dies(busy: Daemon) -> None:
    """Its successor goes on with all of them, and what it counts comes on top."""
    _wait_counted(busy)
    before = _counters(busy)
    busy.workers()[0].kill()
    busy.wait_metric("worker_respawns_total", 1)
    busy.wait_metric("workers", 2)
    after = _counters(busy)
    assert {name: (value, after.get(name)) for name, value in before.items() if after.get(name, -1) < value} == {}
    _send_while(busy, lambda: None)
    _wait_counted(busy)


def test_a_queue_that_goes_is_told_once(busy: Daemon) -> None:
    """Its numbers go with it, and come back."""
    folder = Path(busy.folder / "mqueue")
    folder.rename(busy.folder / "away")
    busy.wait_metric("queue_readable", 0, queue="incoming")
    assert not [
        labels for name, labels, _ in busy.samples() if name == "queue_entries" and labels["queue"] == "incoming"
    ]
    (line,) = busy.wait_logged("queue_unreadable")
    assert (line["queue"], line["folder"], line["why"]) == ("incoming", str(folder), "No such file or directory")
    (busy.folder / "away").rename(folder)
    busy.wait_metric("queue_entries", 1, queue="incoming")
    busy.wait_logged("queue_readable", queue="incoming")
    assert len(busy.logged("queue_unreadable")) == 1
    assert busy.stop() == 0
