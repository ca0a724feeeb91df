"""The gate before libmilter, with descriptors of which the test says how many are free."""

import socket
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from miltscan.daemon.gate import Gate
from miltscan.telemetry import mail_metrics


class FakeDescriptors:
    """As many are free as the test says; notes how many connections were turned away."""

    limit = 1024

    def __init__(self) -> None:
        self.few = False
        self.turned: list[int] = []

    def scarce(self) -> bool:
        """As the real one."""
        return self.few

    def turn_away(self, listener: socket.socket, most: int) -> int:
        """As the real one."""
        listener.accept()[0].close()
        self.turned.append(most)
        return 1


class Bench:
    """A gate over a pool that records what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.descriptors = FakeDescriptors()
        monkeypatch.setattr("miltscan.daemon.gate.Descriptors", lambda: self.descriptors)
        self.pool = mock.Mock()
        self.log: Any = mock.Mock()
        self.gate = Gate(self.pool)
        self.listener = socket.create_server(("127.0.0.1", 0))

    def turn(self) -> None:
        """One turn of the main thread."""
        self.gate.turn(self.listener, self.log)

    @property
    def told(self) -> list[str]:
        """What the pool was told so far."""
        return [call[0] for call in self.pool.method_calls]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A gate that is open."""
    made = Bench(monkeypatch)
    yield made
    made.listener.close()


def test_an_open_gate_does_nothing(bench: Bench) -> None:
    """Nothing is paused while there are descriptors."""
    bench.gate.check()
    bench.turn()
    assert (bench.told, bench.log.error.mock_calls) == ([], [])


def test_a_new_session_can_close_it_and_a_turn_opens_it_again(bench: Bench) -> None:
    """The gate closes and opens once, and logs only once a minute."""
    for _ in range(2):
        bench.descriptors.few = True
        bench.gate.check()
        bench.gate.check()
        bench.turn()
        bench.descriptors.few = False
        bench.turn()
        bench.turn()
    assert bench.told == ["pause", "replace"] * 2
    bench.log.error.assert_called_once_with("sessions_full", limit=1024)


def test_a_connection_that_no_worker_accepts_is_closed(bench: Bench) -> None:
    """Another worker can accept the connection for one turn; then it is closed and counted."""
    bench.descriptors.few = True
    bench.turn()
    before = mail_metrics.SESSIONS_REFUSED.child()._value.get()  # noqa: SLF001 - there is no public way
    with socket.create_connection(bench.listener.getsockname()) as client:
        client.settimeout(60.0)
        bench.turn()
        assert bench.descriptors.turned == []
        bench.turn()
        assert client.recv(1) == b""
    bench.turn()
    assert len(bench.descriptors.turned) == 1
    assert mail_metrics.SESSIONS_REFUSED.child()._value.get() == before + 1  # noqa: SLF001
