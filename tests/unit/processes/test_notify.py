"""Notifications to the service manager, on a socket of the test."""

import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from miltscan.processes import notify

NOTIFICATIONS: list[tuple[Callable[[], None], str]] = [
    (lambda: notify.ready("2 workers"), r"READY=1\nSTATUS=2 workers"),
    (notify.reloading, r"RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+"),
    (lambda: notify.update_status("degraded"), "STATUS=degraded"),
    (lambda: notify.stopping("drains"), r"STOPPING=1\nSTATUS=drains"),
]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return a service manager that listens on either kind of address."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"{folder}/notify"
        listener.bind(name if request.param == "path" else f"\0{name}")
        listener.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", name if request.param == "path" else f"@{name}")
        yield listener


@pytest.mark.parametrize(("notification", "received"), NOTIFICATIONS)
def test_the_manager_receives_one_datagram(
    manager: socket.socket, notification: Callable[[], None], received: str
) -> None:
    """The lines of the datagram are those of sd_notify(3)."""
    notification()
    assert re.fullmatch(received, manager.recv(4096).decode())


@pytest.mark.parametrize("name", [None, "", "vsock:2:1", "/nowhere/notify", "@nobody-is-here", "/" + "long" * 99])
def test_without_a_manager_nothing_happens(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a manager the service continues."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if name is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", name)
    notify.ready("2 workers")


def test_a_manager_that_reads_nothing_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the manager's queue is full, further notifications are dropped."""
    monkeypatch.setattr(notify, "_TIMEOUT", 0.001)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        for _ in range(600):  # more than a queue holds (net.unix.max_dgram_qlen)
            notify.reloading()
        assert listener.recv(4096).startswith(b"RELOADING=1")
