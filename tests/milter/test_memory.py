"""The memory of the service, as /proc reports it: idle, with many open sessions, with many large messages at once."""

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
IDLE = 75 * MB  # of supervisor, one worker and exporter together
MORE_FOR_SESSIONS = 20 * MB
MORE_FOR_LARGE = 64 * MB
SESSIONS = 200
LARGE = 50


@pytest.fixture
def one(own: Fleet) -> Daemon:
    """A service with one worker and default settings, except for limits that accept every message at once."""
    daemon = own(spool__memory="1MiB", limits__message_size="20MiB", limits__concurrent_scans=2 * LARGE)
    daemon.start()
    daemon.wait_ready()
    wait_until(daemon.engines_up, PATIENCE, "an engine that is up")
    return daemon


def share(pid: int) -> int:
    """Bytes of a process in memory, of which a page that n processes share counts an n-th: Pss of proc(5)."""
    return _bytes_in(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def peak(daemon: Daemon) -> int:
    """Bytes of the only worker that were in memory at most, shared ones included: VmHWM of proc(5)."""
    (worker,) = daemon.workers()
    return _bytes_in(Path(f"/proc/{worker.pid}/status"), "VmHWM")


def _bytes_in(file: Path, name: str) -> int:
    lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    return int(lines[name].split()[0]) * 1024


def test_an_idle_service(one: Daemon) -> None:
    """Supervisor, worker and exporter share what was imported before the fork, after the first message, too."""
    assert one.send().accepted
    assert one.get("/api/status")[0] == 200
    processes = [one.running.pid, *(child.pid for child in one.children())]
    assert len(processes) == 3
    shares = [share(pid) for pid in processes]
    assert sum(shares) <= IDLE, shares


def test_many_open_sessions(one: Daemon) -> None:
    """Each session is in a transaction whose headers have arrived."""
    assert one.send().accepted
    (worker,) = one.workers()
    before = share(worker.pid)
    with ExitStack() as stack:
        for _ in range(SESSIONS):
            steps = stack.enter_context(one.mta()).walk(Message())
            while next(steps)[0] is not Command.EOH:
                pass
        one.wait_metric("transactions_in_flight", SESSIONS)
        assert share(worker.pid) - before <= MORE_FOR_SESSIONS


def test_many_large_messages_at_once(one: Daemon) -> None:
    """All of them are open when the first one ends: a message above spool.memory is on disk."""
    released = Event()

    def held(scan: Scan) -> None:
        assert scan.wait(released)
        scan.answer(b"OK")

    before = peak(one)
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
    assert peak(one) - before <= MORE_FOR_LARGE
