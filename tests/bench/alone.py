"""Figures of miltscan without a comparison: memory, start, concurrent slow scans, and idle sessions.

Each is a `targets.Figure` with its own bound, from a service that is started again in each round. A fake clamd, which
can wait, serves slow scans and concurrent messages; the given server serves the rest.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from miltscan.config.settings import Settings
from tests.bench import cpu, load, measure, native
from tests.bench.filters import Filter, miltscan_as
from tests.bench.load import Load
from tests.bench.targets import Bound, Figure
from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import Behaviour, Scan, honest, unless_canary
from tests.harness.processes import PATIENCE, Programs, children_named, wait_until

ROUNDS = 3
IDLE = Bound("memory of supervisor, one worker and exporter at rest (PSS)", 75, "MB")
BUSY = Bound("memory that 200 open sessions add to a worker (PSS)", 20, "MB")
LARGE = Bound("memory that 50 messages of 10 MB at once add to a worker", 64, "MB")
START = Bound("from the start to the first reply", 1, "s")
SLOW = Bound("ten EOMs of 2 s each at once, until the last has its reply", 2.5, "s")
NEXT = Bound("the next message with 10,000 idle connections open (sendmail waits 10 s for a reply)", 10, "s")

_SLOW_SCAN = 2.0  # seconds
_SMALL = (1_000,)
_OTHERS = 500  # descriptors in addition to those of the connections
_SCANS = Settings().limits.concurrent_scans  # the default: further messages wait until one of these ends


@dataclass(frozen=True, slots=True)
class Sizes:
    """The amounts that the bounds refer to; smaller in a trial."""

    sessions: int = 200
    idle: int = 10_000
    slow: int = 10
    large: int = 50
    bytes: int = 10_000_000


@dataclass
class _Values:
    """The values of all rounds."""

    of: dict[Bound, list[float]] = field(default_factory=dict)
    connections: int = 0

    def add(self, bound: Bound, value: float) -> None:
        self.of.setdefault(bound, []).append(value)


def measured(programs: Programs, server: str, rounds: int = ROUNDS, sizes: Sizes | None = None) -> list[Figure]:
    """Return a figure for each bound. `server` is the address of a clamd that knows the test signature."""
    sizes, values = sizes or Sizes(), _Values()
    # of a worker's descriptors only half are for sessions (daemon.gate)
    values.connections = min(sizes.idle, cpu.descriptors(2 * (sizes.idle + _OTHERS)) // 2 - _OTHERS)
    native.generator(programs.folder)  # building it is not part of the start
    for number in range(rounds):
        _at_rest(programs, f"alone {number}", server, sizes, values)
        _slow(programs, f"slow {number}", sizes, values)
    notes = {NEXT: f"{values.connections:,} connections, each a session that has begun"}
    return [Figure(bound, tuple(found), notes.get(bound, "")) for bound, found in values.of.items()]


def worker(chosen: Filter) -> int:
    """Return the process ID of the only worker."""
    (only,) = children_named(chosen.milter.running.pid, "worker")
    return only.pid


def _at_rest(programs: Programs, name: str, server: str, sizes: Sizes, values: _Values) -> None:
    """Measure start, memory and open sessions."""
    with _started(programs, name, server) as (chosen, seconds):
        values.add(START, seconds)
        supervisor = psutil.Process(chosen.milter.running.pid)
        pids = [supervisor.pid, *(child.pid for child in supervisor.children())]
        values.add(IDLE, sum(cpu.memory(pid).proportional for pid in pids))
        before = cpu.memory(worker(chosen)).proportional
        with _open(chosen, sizes.sessions):
            values.add(BUSY, cpu.memory(worker(chosen)).proportional - before)
        with _open(chosen, values.connections):
            values.add(NEXT, _seconds(programs, chosen, Load(_SMALL, 1, 1)))


def _slow(programs: Programs, name: str, sizes: Sizes, values: _Values) -> None:
    """Measure many concurrent EOMs, with small and with large messages, at a slow server."""
    with FakeClamd.unix(programs.folder / f"{name}.ctl") as clamd, _started(programs, name, clamd.address) as (one, _):
        clamd.behaviour = unless_canary(late(_SLOW_SCAN))
        values.add(SLOW, _seconds(programs, one, Load(_SMALL, sizes.slow, sizes.slow, 1)))
        before = cpu.memory(worker(one)).resident
        _together(programs, one, clamd, Load((sizes.bytes,), sizes.large, sizes.large, 1))
        values.add(LARGE, cpu.memory(worker(one)).peak - before)


def _together(programs: Programs, chosen: Filter, clamd: FakeClamd, case: Load) -> None:
    """Send the load; no message ends before all are spooled and every scan slot is in use."""
    held = Held()
    clamd.behaviour = unless_canary(held)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(_seconds, programs, chosen, case)
        try:
            folder = chosen.socket.parent  # also the spool
            wait_until(lambda: spooled(worker(chosen), folder) == case.messages, PATIENCE, "all messages in the spool")
            wait_until(lambda: held.count >= min(case.messages, _SCANS), PATIENCE, "as many scans")
        finally:
            held.released.set()
        sent.result()
    clamd.behaviour = honest


class Held:
    """A server that sends no reply until it is `released`, and that does not read messages."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, scan: Scan) -> None:
        """Reply OK after the release."""
        with self._lock:
            self.count += 1
        if scan.wait(self.released):
            scan.answer(b"OK")


def late(seconds: float) -> Behaviour:
    """Return an answer that replies OK after some seconds, without delaying other requests."""

    def behaviour(scan: Scan) -> None:
        passed = threading.Event()
        timer = threading.Timer(seconds, passed.set)
        timer.start()
        try:
            if scan.wait(passed):
                scan.answer(b"OK")
        finally:
            timer.cancel()

    return behaviour


def spooled(pid: int, folder: Path) -> int:
    """Return the number of messages of a process that are in unnamed files on disk, below `folder`."""
    links = [_link(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(link.startswith(f"{folder}/") and link.endswith(" (deleted)") for link in links)


def _link(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except FileNotFoundError:  # closed in the meantime
        return ""


@contextmanager
def _started(programs: Programs, name: str, server: str) -> Iterator[tuple[Filter, float]]:
    """Start a new service; yield it and the seconds until it replied to its first message."""
    chosen, seconds = measure.first_answer(programs.folder, lambda: miltscan_as(programs, name, [server]))
    try:
        yield chosen, seconds
    finally:
        chosen.milter.stop()


@contextmanager
def _open(chosen: Filter, sessions: int) -> Iterator[None]:
    """Open sessions that begin and then stay idle."""
    with ExitStack() as stack:
        for _ in range(sessions):
            stack.enter_context(load.open_session(chosen.socket))
        yield


def _seconds(programs: Programs, chosen: Filter, case: Load) -> float:
    """Return the seconds until all messages of the load have a reply. RefusedError if one is not accepted."""
    return measure.sent(programs.folder, chosen.address, case).seconds
