"""What engines learn of their servers becomes metrics and log lines."""

import math
import time
from collections.abc import MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from miltscan.core.load import Load
from miltscan.core.verdict import Fault
from miltscan.telemetry import engine_metrics, log
from miltscan.telemetry.family import Family
from miltscan.telemetry.observer import EngineObserver

SERVER = "unix:/run/clamd.ctl"


def _value(family: Family[Any], *labels: str) -> object:
    return next(sample.value for metric in family.child(*labels).collect() for sample in metric.samples)


def _observer() -> EngineObserver:
    return EngineObserver(log.logger(worker=2))


def _logged(call: str, *arguments: object, **keywords: object) -> list[MutableMapping[str, Any]]:
    log.configure("json", "debug")
    with capture_logs() as lines:
        getattr(_observer(), call)("clamd", SERVER, *arguments, **keywords)
    return lines


@pytest.mark.parametrize(("up", "event", "level"), [(True, "engine_up", "info"), (False, "engine_down", "error")])
def test_a_change_of_state_is_a_gauge_and_a_line(event: str, level: str, *, up: bool) -> None:
    """A server that goes down logs an error, and one that comes up logs an info line."""
    (line,) = _logged("server_state", up=up, why="canary")
    assert line == {
        "event": event,
        "log_level": level,
        "engine": "clamd",
        "server": SERVER,
        "why": "canary",
        "worker": 2,
    }
    assert _value(engine_metrics.ENGINE_UP, "clamd", SERVER) == up


def test_a_fault_is_counted_by_its_reason() -> None:
    """A fault is counted, and its line has level debug."""
    (line,) = _logged("server_fault", Fault.CLOSED, "half a reply")
    assert (line["log_level"], line["reason"], line["detail"]) == ("debug", "closed", "half a reply")
    assert _value(engine_metrics.ENGINE_ERRORS, "clamd", "closed") == 1


def test_a_passed_canary_leaves_its_time() -> None:
    """A passed self-test sets its time and writes no line, as it passes every few seconds."""
    assert _logged("canary_passed") == []
    assert _value(engine_metrics.CANARY_PASSED, "clamd", SERVER) == pytest.approx(time.time(), abs=60)


def test_a_new_signature_database_is_one_line() -> None:
    """The same version reported again changes nothing."""
    with capture_logs() as lines:
        observer = _observer()
        for version in (27000, 27000, 27001):
            observer.signatures("clamd", SERVER, version, 1.7e9)
    assert [line["version"] for line in lines] == [27000, 27001]
    assert (observer.version("clamd", SERVER), observer.version("clamd", "another")) == (27001, 0)
    assert _value(engine_metrics.SIGNATURES, "clamd", SERVER) == 27001
    assert _value(engine_metrics.SIGNATURES_PUBLISHED, "clamd", SERVER) == 1.7e9


def _shown(family: Family[Any], *labels: str) -> bool:
    value = _value(family, *labels)
    return isinstance(value, float) and not math.isnan(value)


def test_the_load_is_shown_as_long_as_it_is_known() -> None:
    """A clamd that no longer answers STATS has no old numbers."""
    assert _logged("load", Load(queue=3, live=2, idle=1, max=12)) == []
    assert _value(engine_metrics.CLAMD_QUEUE, "clamd", SERVER) == 3
    assert [_value(engine_metrics.CLAMD_THREADS, "clamd", SERVER, state) for state in ("live", "idle", "max")] == [
        2,
        1,
        12,
    ]
    _logged("load", None)
    assert not _shown(engine_metrics.CLAMD_QUEUE, "clamd", SERVER)
    assert not _shown(engine_metrics.CLAMD_THREADS, "clamd", SERVER, "max")


def test_a_server_that_is_no_longer_configured_has_no_state() -> None:
    """Its engine may still finish messages and send canaries: that brings nothing back, and faults still count."""
    old = EngineObserver(log.logger())
    for server in (SERVER, "inet:3310@other"):
        old.server_state("clamd", server, up=True, why="")
        old.canary_passed("clamd", server)
        old.signatures("clamd", server, 27000, 1.0)
        old.load("clamd", server, Load(0, 1, 0, 12))
    old.retire()
    EngineObserver(log.logger()).forget({("clamd", SERVER)})
    old.canary_passed("clamd", SERVER)
    old.server_state("clamd", SERVER, up=True, why="")
    old.server_fault("clamd", SERVER, Fault.CLOSED, "gone")
    old.load("clamd", "inet:3310@other", None)
    assert _shown(engine_metrics.CLAMD_QUEUE, "clamd", "inet:3310@other")
    assert not _shown(engine_metrics.ENGINE_UP, "clamd", SERVER)
    assert not _shown(engine_metrics.CANARY_PASSED, "clamd", SERVER)
    assert not _shown(engine_metrics.SIGNATURES, "clamd", SERVER)
    assert _shown(engine_metrics.ENGINE_UP, "clamd", "inet:3310@other")
    assert _value(engine_metrics.ENGINE_ERRORS, "clamd", "closed") == 1


def test_retire_waits_for_a_gauge_that_is_being_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gauge that another thread sets during `retire` is there before `forget` ends it, not after."""
    observer, free = _observer(), []

    class Gauge:
        def set(self, _value: float) -> None:
            free.append(observer._gauges.acquire(blocking=False))  # noqa: SLF001 - `retire` takes it

    monkeypatch.setattr(Family, "child", lambda *_: Gauge())
    observer.canary_passed("clamd", SERVER)
    assert free == [False]


def test_gauges_end_while_another_thread_adds_some() -> None:
    """The thread of another server may report its first state meanwhile: that must not end a self-test."""

    class Adding(str):
        """A name that adds a child when it is compared, as a thread may do between two steps."""

        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            engine_metrics.CLAMD_QUEUE.child("second", str(engine_metrics.CLAMD_QUEUE.used))
            return super().__eq__(other)

    engine_metrics.CLAMD_QUEUE.child("clamd", SERVER).set(1)
    engine_metrics.CLAMD_QUEUE.child("clamd", "another").set(1)
    engine_metrics.CLAMD_QUEUE.forget_all(Adding("clamd"), SERVER)
    assert not _shown(engine_metrics.CLAMD_QUEUE, "clamd", SERVER)
    assert _shown(engine_metrics.CLAMD_QUEUE, "clamd", "another")
