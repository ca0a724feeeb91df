"""A log that nobody reads, or that cannot be written, costs its lines and nothing else."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.fakes.mta import Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

Ends = tuple[int, int]
LONG = Message(sender=b"<" + b"x" * 2900 + b"@example.org>")


def a_pipe() -> Ends:
    """The reader's and the writer's end of a pipe."""
    return os.pipe()


def a_socket() -> Ends:
    """The same of a stream socket, as journald reads it."""
    reading, writing = socket.socketpair()
    return reading.detach(), writing.detach()


class Reader:
    """Reads lines when the test asks for them."""

    def __init__(self, end: int) -> None:
        os.set_blocking(end, False)
        self.end = end
        self.data = b""

    def lines(self) -> list[dict[str, Any]]:
        """Every whole line until now."""
        with suppress(BlockingIOError):
            while data := os.read(self.end, 2**16):
                self.data += data
        return [json.loads(line) for line in self.data.split(b"\n")[:-1]]

    def wait(self, event: str) -> dict[str, Any]:
        """The first line of this event."""
        found = [line for line in wait_until(lambda: self._with(event), PATIENCE, event) if line["event"] == event]
        return found[0]

    def _with(self, event: str) -> list[dict[str, Any]]:
        lines = self.lines()
        return lines if any(line["event"] == event for line in lines) else []


@pytest.fixture
def logging(own: Fleet) -> Iterator[Callable[[Ends], tuple[Daemon, Reader]]]:
    """Start a service that writes its log to the second of two ends; the test reads from the first one."""
    ends: list[int] = []

    def start(pair: Ends) -> tuple[Daemon, Reader]:
        ends.append(pair[0])
        daemon = own()
        daemon.start(pair[1])
        os.close(pair[1])
        reader = Reader(pair[0])
        reader.wait("ready")
        wait_until(daemon.engines_up, PATIENCE, "engines that are up")
        reader.lines()
        return daemon, reader

    yield start
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("pair", [a_pipe, a_socket])
def test_a_reader_that_stalls(logging: Callable[[Ends], tuple[Daemon, Reader]], pair: Callable[[], Ends]) -> None:
    """Mail is scanned, lost lines are counted and reported where they are missing, and TERM ends the service."""
    daemon, reader = logging(pair())
    sent = 0
    while not daemon.metric("log_lines_lost_total"):
        with daemon.mta() as mta:
            for _ in range(100):
                sent += 1
                assert mta.send_message(Message(sender=LONG.sender, queue_id=b"Q%d" % sent)).accepted
        wait_until(lambda: daemon.metric("log_stalled") == 1, PATIENCE, "a stalled log")
    status, text = daemon.get("/readyz")
    assert (status, text.startswith("degraded: log: cannot be written by 1 process")) == (200, True)
    assert "log: cannot be written" in daemon.get("/api/status")[1]
    report = reader.wait("log_lines_lost")
    daemon.wait_metric("log_lines_lost_total", report["lines"])
    wait_until(lambda: daemon.get("/readyz") == (200, "ok\n"), PATIENCE, "a log that is written again")
    assert daemon.send(Message(queue_id=b"LAST")).accepted
    last = wait_until(lambda: _of(reader, "LAST"), PATIENCE, "the last message")
    written = [line["queue_id"] for line in reader.lines() if line["event"] == "message"]
    assert written == [f"Q{number}" for number in range(1, sent - report["lines"] + 1)] + [last]
    while not daemon.metric("log_stalled"):
        assert daemon.send(LONG).accepted
    assert daemon.stop() == 0


def _of(reader: Reader, queue_id: str) -> str:
    return next((queue_id for line in reader.lines() if line.get("queue_id") == queue_id), "")


@pytest.mark.parametrize("place", ["/dev/full", "closed"])
def test_a_log_that_cannot_be_written(own: Fleet, place: str) -> None:
    """A full disk and a reader that ended stop neither the start nor mail nor a reload nor a stop."""
    daemon = own()
    if place == "closed":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(place, os.O_WRONLY)
    daemon.start(writing)
    os.close(writing)
    wait_until(lambda: _answers(daemon), PATIENCE, "a service that is ready")
    assert daemon.send().accepted
    wait_until(lambda: daemon.metric("log_lines_lost_total") >= 4, PATIENCE, "lost lines that are counted")
    status, text = daemon.get("/readyz")
    assert (status, text.startswith("degraded: log: cannot be written")) == (200, True)
    daemon.running.signal(signal.SIGHUP)
    daemon.wait_metric("reloads_total", 1, result="ok")
    assert daemon.stop() == 0


def _answers(daemon: Daemon) -> bool:
    with suppress(OSError):
        return daemon.get("/readyz")[0] == 200
    return False
