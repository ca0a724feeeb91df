"""The engines of a worker over its reloads: what starts, what stays, what ends, and nothing of it leaks."""

import gc
import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from miltscan.config.engines import ClamdEngineSettings
from miltscan.core.address import parse_address
from miltscan.core.verdict import Limit, Verdict
from miltscan.engines.base import ServedEngine
from miltscan.engines.clamd.watch import ClamdWatch
from miltscan.scanning.assemble_engines import probe_engines
from miltscan.scanning.engine_set import EngineSet
from miltscan.scanning.servers import ServerRecords
from miltscan.telemetry import engine_metrics, log, metrics
from tests.fakes.clamd import FakeClamd
from tests.unit.engines.support import PATIENCE, message, nothing, soon, until

Chosen = Callable[..., ClamdEngineSettings]


@pytest.fixture(autouse=True)
def _counters() -> None:
    """Each test counts from nothing."""
    for family in metrics.FAMILIES:
        family.reset()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, FakeClamd]]:
    """Two servers by name."""
    with FakeClamd.unix(tmp_path / "a") as first, FakeClamd.unix(tmp_path / "b") as second:
        yield {"a": first, "b": second}


@pytest.fixture
def chosen(servers: dict[str, FakeClamd]) -> Chosen:
    """Makes the settings of an engine that is named like its server."""

    def make(name: str, *, required: bool = True) -> ClamdEngineSettings:
        address = parse_address(servers[name].address)
        return ClamdEngineSettings.model_construct(
            type="clamd", name=name, required=required, servers=(address,), canary_interval=3600.0
        )

    return make


def follow(engines: EngineSet, chosen: list[ClamdEngineSettings]) -> list[ServedEngine]:
    """The engines of these settings, once each server has passed its first self-test."""
    made = engines.follow(chosen, log.logger())
    pairs = [(one.name, str(server)) for one in chosen for server in one.servers]
    until(lambda: all(shown("clamd_queue_length", *pair) for pair in pairs))  # what a self-test reports last
    return made


def shown(family: str, *labels: str) -> bool:
    """Whether this gauge has a value."""
    (found,) = (one for one in metrics.FAMILIES if one.name == f"miltscan_{family}")
    return found.knows(*labels) and not math.isnan(found.child(*labels)._value.get())  # noqa: SLF001


def scan(engine: ServedEngine) -> Verdict:
    """The engine's verdict on a clean message."""
    with message(b"Subject: a\r\n\r\nb\r\n") as made:
        return engine.scan(made, soon(), nothing)


def test_an_unchanged_engine_goes_on(chosen: Chosen, servers: dict[str, FakeClamd]) -> None:
    """It is the same object in a new place, and neither it nor its servers are tested again."""
    engines = EngineSet(1)
    (first,) = follow(engines, [chosen("a")])
    tested = len(servers["a"].contents)
    (added, kept) = follow(engines, [chosen("b", required=False), chosen("a")])
    assert kept is first
    assert len(servers["a"].contents) == tested
    assert (added.name, added.required) == ("b", False)
    assert shown("engine_up", "b", servers["b"].address)
    assert engine_metrics.ENGINE_REQUIRED.child("b")._value.get() == 0  # noqa: SLF001
    assert engine_metrics.ENGINE_REQUIRED.child("a")._value.get() == 1  # noqa: SLF001
    assert [engine_metrics.ENGINE_MISSING.knows(name, Limit.TIMEOUT) for name in ("a", "b")] == [False, True]


def test_a_removed_engine_has_no_state(chosen: Chosen, servers: dict[str, FakeClamd]) -> None:
    """A message that began with it is still scanned, but it no longer reports anything; the other one is unchanged."""
    engines = EngineSet(1)
    (_, removed) = follow(engines, [chosen("a"), chosen("b")])
    follow(engines, [chosen("a")])
    assert scan(removed) == Verdict.clean("b", servers["b"].address)
    removed.probe()
    for family in ("engine_up", "canary_last_success_timestamp_seconds", "signature_database_version"):
        assert not shown(family, "b", servers["b"].address)
        assert shown(family, "a", servers["a"].address)
    assert not shown("engine_required", "b")
    assert (engines.version("a", servers["a"].address), engines.version("b", servers["b"].address)) == (27700, 0)


def test_a_server_that_moves_to_another_engine_keeps_the_state_of_the_new_one(
    chosen: Chosen, servers: dict[str, FakeClamd]
) -> None:
    """State belongs to engine and server together."""
    engines, address = EngineSet(1), servers["a"].address
    follow(engines, [chosen("a")])
    follow(engines, [chosen("a").model_copy(update={"name": "renamed"})])
    assert shown("engine_up", "renamed", address)
    assert not shown("engine_up", "a", address)


def test_changed_settings_make_a_new_engine(chosen: Chosen, servers: dict[str, FakeClamd]) -> None:
    """Its state goes on without a gap."""
    engines = EngineSet(1)
    (first,) = follow(engines, [chosen("a")])
    (second,) = follow(engines, [chosen("a", required=False)])
    assert second is not first
    assert shown("engine_up", "a", servers["a"].address)
    assert engine_metrics.ENGINE_REQUIRED.child("a")._value.get() == 0  # noqa: SLF001


def test_reloads_leak_nothing(chosen: Chosen) -> None:
    """Threads and descriptors of removed engines end with them, sessions that were kept after a scan included."""

    def held() -> tuple[int, int]:
        gc.collect()
        watches = [thread for thread in threading.enumerate() if thread.name == "engine-canary"]
        return len(watches), len([*Path("/proc/self/fd").iterdir()])

    before = held()
    engines = EngineSet(1)
    for _ in range(20):
        both = follow(engines, [chosen("a"), chosen("b")])
        assert [scan(engine).outcome for engine in both] == ["clean", "clean"]
        del both
        (only,) = follow(engines, [chosen("a").model_copy(update={"canary_interval": 60.0})])
        scan(only)
        del only
    follow(engines, [])
    until(lambda: held() == before)


def test_engines_and_servers_are_tested_at_the_same_time(chosen: Chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that hangs takes four seconds: an optional engine's must not add them up before the first message."""
    all_begun = threading.Barrier(3)
    monkeypatch.setattr(ClamdWatch, "probe", lambda _: all_begun.wait(PATIENCE))
    monkeypatch.setattr(ClamdWatch, "start", lambda _: None)  # its thread would test a fourth time
    both = chosen("a").model_copy(update={"servers": (*chosen("a").servers, *chosen("b").servers)})
    engines = [both, chosen("b", required=False)]
    EngineSet(1).follow(engines, log.logger())
    probe_engines(engines, ServerRecords())
    assert all_begun.n_waiting == 0


def test_an_engine_that_cannot_be_started_is_an_error(chosen: Chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker ends with it and is replaced: without its threads no server of the engine would be tested again."""

    def no_thread(_watch: ClamdWatch) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ClamdWatch, "start", no_thread)
    with pytest.raises(RuntimeError, match="new thread"):
        EngineSet(1).follow([chosen("a"), chosen("b")], log.logger())
