"""Short waits for every test of the engines, so that what is waited for comes soon."""

import pytest

from miltscan.engines import watch as engine_watch
from miltscan.engines.clamd import canary
from miltscan.engines.clamd import engine as clamd_engine
from miltscan.engines.clamd import watch as clamd_watch
from miltscan.engines.clamd.client import ping
from tests.fakes import clamd
from tests.unit.engines.support import PATIENCE


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twentieth of a second where it would be a quarter or a whole one, and a large canary of some KB."""
    monkeypatch.setattr(clamd_engine, "_TICK", 0.05)
    monkeypatch.setattr(canary, "LARGE", 2**16)
    monkeypatch.setattr(canary, "_RANDOM", 2**12)
    monkeypatch.setattr(engine_watch, "RETRY", 0.05)
    monkeypatch.setattr(engine_watch, "_SHORTEST_GAP", 0.05)
    monkeypatch.setattr(clamd_engine, "PATIENCE", 0.25)  # after it a scan asks whether its server still works
    monkeypatch.setattr(clamd, "POLL", 0.002)


@pytest.fixture
def patient_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    """PING is waited for, however busy this machine is: for tests with less patience than such a machine needs."""
    monkeypatch.setattr(clamd_watch, "ping", lambda target, _timeout: ping(target, PATIENCE))
