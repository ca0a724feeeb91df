"""The notifications of the real service to a service manager: ready, reloading, stopping, each at its time."""

import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.clamd_lies import Slow, honest
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.daemon import Daemon


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], dict[str, str]]]:
    """Waits for the next notification and returns its fields."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield lambda: dict(line.split("=", 1) for line in listener.recv(4096).decode().splitlines())


def test_a_life(own: Callable[..., Daemon], manager: Callable[[], dict[str, str]]) -> None:
    """The manager is notified of the ready service, of begin and end of each reload, good or bad, and of the stop."""
    daemon = own()
    daemon.start()
    assert manager() == {"READY": "1", "STATUS": f"serves {daemon.address} with 1 worker"}
    assert daemon.send().accepted
    for text, status in (("", "serves unix:"), ("nonsense", "the configuration has a mistake")):
        if text:
            daemon.config.write_text(text)
        daemon.running.signal(signal.SIGHUP)
        begins, ends = manager(), manager()
        assert (begins["RELOADING"], int(begins["MONOTONIC_USEC"]) > 0) == ("1", True)
        assert ends["READY"] == "1"
        assert ends["STATUS"].startswith(status)
    assert daemon.stop() == 0
    assert manager()["STOPPING"] == "1"


def test_a_restart_in_the_same_process(own: Callable[..., Daemon], manager: Callable[[], dict[str, str]]) -> None:
    """To the manager it is a reload: after a stop it would wait for the end of the process, and kill it."""
    daemon = own()
    daemon.start()
    assert manager()["READY"] == "1"
    daemon.running.signal(signal.SIGUSR2)
    assert "STOPPING" not in (begins := manager())
    assert begins["RELOADING"] == "1"
    assert manager()["READY"] == "1"
    assert daemon.stop() == 0
    assert manager()["STOPPING"] == "1"


def test_a_start_next_to_a_deaf_engine(own: Callable[..., Daemon], manager: Callable[[], dict[str, str]]) -> None:
    """An engine that answers PING but scans nothing delays no start: clients receive 451 by policy until it scans."""
    daemon, deaf = own(), Slow()
    daemon.clamd.behaviour = deaf
    daemon.start()
    degraded = "degraded: clamd: no server has passed its self-test"
    assert manager() == {"READY": "1", "STATUS": f"serves {daemon.address} with 1 worker; {degraded}"}
    assert deaf.entered.is_set()
    assert daemon.send().reply.smtp.startswith(b"451 4.7.1")
    assert daemon.get("/readyz")[0] == 503
    daemon.clamd.behaviour = honest
    deaf.released.set()
    assert manager() == {"STATUS": f"serves {daemon.address} with 1 worker"}
    wait_until(lambda: daemon.send().accepted, PATIENCE, "a scan")
