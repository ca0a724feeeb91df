"""The content of the page: what it shows of the metrics, and where they do not exist."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import orjson
import pytest
from pydantic import TypeAdapter

from miltscan.config.settings import Settings
from miltscan.status import settings as shown_settings
from miltscan.status.events import Detection, ErrorEvent, RecentEvents
from miltscan.status.history import STEP, History
from miltscan.status.model import ServiceStatus
from miltscan.status.samples import Numbers
from miltscan.status.snapshot import SnapshotInput, snapshot

NOW = 1_800_000_000.0
SERVER = "unix:/run/clamd.ctl"
SAMPLES: list[tuple[str, dict[str, str], float]] = [
    ("messages_total", {"direction": "inbound", "outcome": "clean", "action": "accept"}, 90),
    ("messages_total", {"direction": "outbound", "outcome": "clean", "action": "accept"}, 5),
    ("messages_total", {"direction": "inbound", "outcome": "infected", "action": "reject"}, 4),
    ("messages_total", {"direction": "inbound", "outcome": "unscanned", "action": "tempfail"}, 1),
    ("unscanned_total", {"reason": "busy"}, 1),
    ("smtp_replies_total", {"code": "250"}, 95),
    ("detections_total", {"class": "Trojan"}, 4),
    ("message_duration_seconds_bucket", {"le": "0.1"}, 100),
    ("message_duration_seconds_bucket", {"le": "+Inf"}, 100),
    ("sessions", {}, 3),
    ("transactions_in_flight", {}, 2),
    ("engine_up", {"engine": "clamd", "server": SERVER}, 1),
    ("engine_errors_total", {"engine": "clamd", "reason": "closed"}, 2),
    ("canary_last_success_timestamp_seconds", {"engine": "clamd", "server": SERVER}, NOW - 3),
    ("signature_database_version", {"engine": "clamd", "server": SERVER}, 27500),
    ("signature_database_published_timestamp_seconds", {"engine": "clamd", "server": SERVER}, NOW - 7200),
    ("clamd_queue_length", {"engine": "clamd", "server": SERVER}, 4),
    ("clamd_threads", {"engine": "clamd", "server": SERVER, "state": "live"}, 5),
    ("clamd_threads", {"engine": "clamd", "server": SERVER, "state": "max"}, 20),
    ("workers", {}, 2),
    ("worker_respawns_total", {}, 1),
    ("exceptions_total", {"where": "eom"}, 0),
    ("exceptions_total", {"where": "report"}, 0),
    ("log_lines_lost_total", {}, 0),
    ("process_resident_memory_bytes", {"process": "0"}, 3e7),
    ("process_cpu_seconds_total", {"process": "0"}, 12.5),
    ("process_open_fds", {"process": "exporter"}, 20),
    ("queue_entries", {"queue": "delivery"}, 7),
    ("queue_entries", {"queue": "incoming"}, 0),
    ("queue_bytes", {"queue": "delivery"}, 7000),
    ("queue_oldest_timestamp_seconds", {"queue": "delivery"}, NOW - 60),
    ("queue_oldest_timestamp_seconds", {"queue": "incoming"}, 0),
    ("queue_readable", {"queue": "delivery"}, 1),
    ("queue_readable", {"queue": "incoming"}, 1),
    ("spool_files", {}, 1),
    ("spool_bytes", {}, 2**20),
    ("spool_free_bytes", {}, 2**30),
    ("config_info", {"hash": "0123456789ab"}, 1),
    ("config_last_reload_success_timestamp_seconds", {}, NOW - 600),
    ("reloads_total", {"result": "ok"}, 3),
    ("reloads_total", {"result": "failed"}, 1),
]
NUMBERS = Numbers((f"miltscan_{name}", labels, value) for name, labels, value in SAMPLES)
NOTHING = Numbers([])
EMPTY = Numbers((f"miltscan_{name}", {"outcome": "clean"}, 0.0) for name in ("messages_total",))


def _status(numbers: Numbers, past: History | None = None, recent: RecentEvents | None = None) -> ServiceStatus:
    settings = Settings.model_validate({"milter": {"workers": 2}})
    return snapshot(
        SnapshotInput(
            numbers,
            past or History(),
            recent or RecentEvents(),
            settings,
            [],
            at=NOW,
            since=NOW - 900,
            host="mx.example.test",
        )
    )


def _past() -> History:
    past = History()
    past.add(EMPTY, NOW - STEP, 0)
    past.add(NUMBERS, NOW, STEP)
    return past


FULL = _status(
    NUMBERS,
    _past(),
    RecentEvents(
        [Detection(NOW, "Q1", "192.0.2.7", "inbound", "Win.Test", "reject")], [ErrorEvent(NOW, "what", "text", "Q2", 3)]
    ),
)


def test_totals_are_the_counters() -> None:
    """Totals are the counters, summed over all labels but one."""
    totals = FULL.totals
    assert totals.messages == 100
    assert totals.outcomes == {"clean": 95, "spam": 0, "unscanned": 1, "error": 0, "infected": 4}
    assert totals.directions == {"inbound": 95, "outbound": 5}
    assert totals.actions == {"accept": 95, "reject": 4, "tempfail": 1}
    assert (totals.unscanned, totals.replies, totals.classes) == ({"busy": 1}, {"250": 95}, {"Trojan": 4})


def test_the_present() -> None:
    """Rates cover the last minute, quantiles the last five minutes."""
    now = FULL.now
    assert (now.rate, now.rates["clean"], now.rates["infected"]) == (20, 19, 0.8)
    assert (now.sessions, now.in_flight) == (3, 2)
    assert [now.p50, now.p99] == pytest.approx([0.05, 0.099])


def test_an_engine() -> None:
    """The entry of a server has all that is known of it."""
    (engine,) = FULL.engines
    assert (engine.engine, engine.server, engine.up, engine.errors) == ("clamd", SERVER, True, 2)
    assert (engine.canary, engine.version, engine.published) == (NOW - 3, 27500, NOW - 7200)
    assert (engine.queue, engine.threads) == (4, {"live": 5, "max": 20})


def test_queues() -> None:
    """The incoming queue comes first, and an empty queue has no oldest entry."""
    incoming, delivery = FULL.queues
    assert (incoming.queue, incoming.entries, incoming.oldest, incoming.readable) == ("incoming", 0, None, True)
    assert (delivery.entries, delivery.bytes, delivery.oldest) == (7, 7000, NOW - 60)


def test_processes_spool_and_configuration() -> None:
    """Processes, spool and configuration are shown as far as they are measured."""
    workers, spool, configuration = FULL.workers, FULL.spool, FULL.configuration
    assert (workers.running, workers.configured, workers.respawns) == (2, 2, 1)
    assert [(one.name, one.resident, one.descriptors) for one in workers.processes] == [
        ("0", 3e7, None),
        ("exporter", None, 20),
    ]
    assert spool is not None
    assert (spool.files, spool.bytes, spool.free) == (1, 2**20, 2**30)
    assert (configuration.hash, configuration.reloads_failed, configuration.loaded) == ("0123456789ab", 1, NOW - 600)


def test_plots_have_a_value_per_point() -> None:
    """Each series of the plots has a value for each point in time."""
    plots = FULL.plots
    assert plots.times == [NOW]
    assert plots.rates["clean"] == [19]
    assert (plots.sessions, plots.in_flight, plots.p50) == ([3], [2], [0.05])
    assert plots.queues == {"delivery": [7], "incoming": [0]}


def test_what_does_not_exist_is_left_out() -> None:
    """A service without any measurement has a page, too."""
    status = _status(NOTHING)
    assert (status.engines, status.queues, status.spool, status.workers.processes) == ([], [], None, [])
    assert (status.now.rate, status.now.p99, status.now.sessions) == (None, None, None)
    assert status.totals.messages == 0
    assert status.plots.times == []


@pytest.mark.parametrize("status", [FULL, _status(NOTHING)], ids=["full", "empty"])
def test_the_json_is_what_the_types_say(status: ServiceStatus) -> None:
    """JSON read back by the types lacks nothing and has nothing else."""
    data = orjson.dumps(status)
    adapter = TypeAdapter(ServiceStatus)
    assert orjson.loads(orjson.dumps(adapter.validate_json(data))) == orjson.loads(data)


def test_settings_that_differ_come_first() -> None:
    """Changed settings come first with their defaults, each group in the order of the configuration."""
    settings = Settings.model_validate({"milter": {"workers": 4}, "log": {"level": "debug"}})
    rows = shown_settings.shown(settings)
    assert [(row.key, row.value, row.default) for row in rows if row.changed] == [
        ("milter.workers", "4", "1"),
        ("log.level", '"debug"', '"info"'),
    ]
    assert [row.changed for row in rows] == sorted((row.changed for row in rows), reverse=True)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("exporter.password", '"hunter2"', "(set, not shown)"),
        ("probe.secret", '"x"', "(set, not shown)"),
        ("exporter.token", '""', '""'),
        ("exporter.token_file", '"/etc/miltscan/tokens"', '"/etc/miltscan/tokens"'),
        ("milter.socket", '"unix:/a\u202eb"', r'"unix:/a\u202eb"'),
    ],
)
def test_secrets_are_not_shown(key: str, value: str, expected: str) -> None:
    """A secret is hidden, but not the path of its file, nor that it is empty."""
    assert shown_settings.value_of(key, value) == expected


def _keys(kind: Any) -> Iterator[str]:  # noqa: ANN401 - a type, with or without arguments
    for part in get_args(kind):
        yield from _keys(part)
    if is_dataclass(kind):
        for field in fields(kind):
            yield field.name
            yield from _keys(get_type_hints(kind)[field.name])


def test_every_key_is_documented() -> None:
    """docs/status.md names every key of the snapshot."""
    page = (Path(__file__).parents[3] / "docs" / "status.md").read_text()
    assert [key for key in _keys(ServiceStatus) if f"`{key}`" not in page] == []
