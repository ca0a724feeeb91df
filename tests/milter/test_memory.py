"""What a worker holds in memory, as /proc says: idle, with many open sessions, and with many large messages at once."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from tests.fakes.clamd_lies import Scan, unless_canary
from tests.fakes.milter_wire import Command
from tests.fakes.mta import Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

MB = 10**6
IDLE = 30 * MB
WITH_SESSIONS = 64 * MB
MORE_FOR_LARGE = 64 * MB
SESSIONS = 200
LARGE = 50
NOT_FOR_MAIL = ("_pydantic_core", "_bcrypt")
"""Extension modules, each a file that a process has mapped if it has imported the package."""


@pytest.fixture
def one(own: Fleet) -> Daemon:
    """A service with one worker, as it is by default but for limits that let every message in at once."""
    daemon = own(spool__memory="1MiB", limits__message_size="20MiB", limits__concurrent_scans=2 * LARGE)
    daemon.start()
    daemon.wait_ready()
    wait_until(daemon.engines_up, PATIENCE, "an engine that is up")
    return daemon


def resident(daemon: Daemon, what: str = "VmRSS") -> int:
    """Bytes of the only worker that are in memory now, or (VmHWM) were at most."""
    (worker,) = daemon.workers()
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines())
    return int(lines[what].split()[0]) * 1024


def test_an_idle_worker(one: Daemon) -> None:
    """After its first message, too: what is imported or made late counts."""
    assert one.send().accepted
    assert resident(one, "VmHWM") <= IDLE
    (worker,) = one.workers()
    mapped = Path(f"/proc/{worker.pid}/maps").read_text()
    assert [name for name in NOT_FOR_MAIL if name in mapped] == []


def test_many_open_sessions(one: Daemon) -> None:
    """Each within a transaction whose headers are there."""
    with ExitStack() as stack:
        for _ in range(SESSIONS):
            steps = stack.enter_context(one.mta()).walk(Message())
            while next(steps)[0] is not Command.EOH:
                pass
        one.wait_metric("transactions_in_flight", SESSIONS)
        assert resident(one, "VmHWM") <= WITH_SESSIONS


def test_many_large_messages_at_once(one: Daemon) -> None:
    """All of them are under way when the first one ends: beyond `spool.memory` a message is on disk."""
    released = Event()

    def held(scan: Scan) -> None:
        assert scan.wait(released)
        scan.answer(b"OK")

    before = resident(one)
    one.clamd.behaviour = unless_canary(held)
    large = Message(body=b"x" * 998 * 10_000 + b"\r\n")
    with ThreadPoolExecutor(LARGE) as pool:
        results = [pool.submit(one.send, large) for _ in range(LARGE)]
        try:
            one.wait_metric("spool_files", LARGE)
            wait_until(lambda: one.clamd.connections >= LARGE, PATIENCE, "as many scans")
        finally:
            released.set()
        assert all(result.result().accepted for result in results)
    assert resident(one, "VmHWM") - before <= MORE_FOR_LARGE
