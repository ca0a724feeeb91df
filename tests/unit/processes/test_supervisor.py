"""The supervisor, with plain functions as roles, in a separate process."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from miltscan.processes.supervisor import _backoff
from tests.harness import guard

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0  # seconds for anything to happen


class Service:
    """The program `supervised` and the lines that it has printed so far."""

    def __init__(self, *roles: tuple[str, str], **arguments: object) -> None:
        defaults = {
            "drain_timeout": 60.0,
            "stable_after": 60.0,
            "pause": 0.001,
            "silence": 60.0,
            "last": 60.0,
            "order": "config ",
            "forks_failing": [],
            "added": [],
        }
        command = [sys.executable, "-m", "tests.unit.processes.supervised"]
        self.process = subprocess.Popen(
            [*command, json.dumps(defaults | {"roles": roles} | arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        guard.watch_group(self.process.pid)
        self.printed: list[str] = []
        self._new: list[str] = []
        self._rest = b""

    def expect(self, pattern: str) -> re.Match[str]:
        """Return the first line that matches and was not expected before; lines of several processes have no order."""
        while not (match := self._unexpected(pattern)):
            if not (line := self._line()):
                raise AssertionError(f"the service ended before it printed {pattern!r}; it printed {self.printed}")
            self.printed.append(line)
            self._new.append(line)
        return match

    def _unexpected(self, pattern: str) -> re.Match[str] | None:
        for index, line in enumerate(self._new):
            if match := re.fullmatch(pattern, line):
                del self._new[index]
                return match
        return None

    def end(self) -> int:
        """Return the exit status when all processes have ended."""
        while line := self._line():
            self.printed.append(line)
        return self.process.wait(PATIENCE)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor alone."""
        self.process.send_signal(number)

    def close(self) -> None:
        """Kill all processes after any test."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        assert self.process.stdout
        self.process.stdout.close()

    def _line(self) -> str:
        deadline = time.monotonic() + PATIENCE
        stdout = self.process.stdout
        assert stdout
        while b"\n" not in self._rest:
            if not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"nothing more after {self.printed}")
            if not (data := stdout.read(65536)):
                return ""
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()


Start = Callable[..., Service]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a service; all its processes end with the test."""
    started: list[Service] = []

    def begin(*roles: tuple[str, str], **arguments: object) -> Service:
        started.append(Service(*roles, **arguments))
        return started[-1]

    yield begin
    for service in started:
        service.close()


def _pid(service: Service, name: str) -> int:
    return int(service.expect(rf"{name} runs (\d+)")[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain(start: Start, number: signal.Signals) -> None:
    """Every child receives the order to drain, and after the last one ends the exit status is 0."""
    service = start(("a", "good"), ("b", "good"))
    service.expect("all ready")
    service.signal(number)
    assert service.end() == 0
    ends = [line for line in service.printed if "order" in line or "ended" in line]
    assert sorted(ends) == [
        "a order drain",
        "b order drain",
        "ended a exit status 0 pause None",
        "ended b exit status 0 pause None",
    ]
    assert service.printed.count("all ready") == service.printed.count("stopping") == 1


def test_readiness_is_reported_once(start: Start) -> None:
    """Readiness is not reported again when a replacement is ready."""
    service = start(("a", "good"))
    pid = _pid(service, "a")
    service.expect("all ready")
    os.kill(pid, signal.SIGKILL)
    service.expect(r"a runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert service.printed.count("all ready") == 1


def test_drain_before_all_are_ready(start: Start) -> None:
    """A service that is stopped during its start drains."""
    service = start(("a", "never_ready"))
    service.expect(r"a runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "all ready" not in service.printed


def test_one_role_outlives_the_others(start: Start) -> None:
    """A role that outlives the others ends last, so that metrics can be read during the drain."""
    service = start(("exporter", "lasting"), ("a", "good"), ("b", "good"))
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    ends = [line.split()[1] for line in service.printed if line.startswith("ended")]
    assert ends[-1] == "exporter"
    assert service.printed.index("exporter terminated") > max(
        map(service.printed.index, ["a order drain", "b order drain"])
    )


def test_a_role_that_outlives_the_others_ends_soon(start: Start) -> None:
    """A tracer with a slow collector, or an exporter on a dead disk, does not use up the time of the drain."""
    service = start(("tracer", "lasting_stuck"), ("a", "good"), last=0.1)
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "ended tracer killed by SIGKILL pause None" in service.printed


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGRTMIN + 5, "killed by signal 39")]
)
def test_dead_child_is_replaced(start: Start, number: int, words: str) -> None:
    """A new process replaces a dead child, the end of the old one is reported, and its siblings continue."""
    service = start(("a", "good"), ("b", "good"))
    pid = _pid(service, "a")
    service.expect("all ready")
    os.kill(pid, number)
    service.expect(rf"ended a {words} pause 0.001")
    assert _pid(service, "a") != pid
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert service.printed.count("b order drain") == 1


def test_pauses_grow_for_one_that_keeps_dying(start: Start) -> None:
    """Each early end doubles the pause before the next start."""
    service = start(("a", "ready_and_gone"))
    pauses = [float(service.expect(r"ended a exit status 0 pause (.*)")[1]) for _ in range(5)]
    assert pauses == [0.001, 0.002, 0.004, 0.008, 0.016]


def test_one_that_had_lived_is_replaced_at_once(start: Start) -> None:
    """A child that ran for a while is replaced at once, as its earlier failures are forgotten."""
    service = start(("a", "good"), stable_after=0.0)
    for _ in range(3):
        os.kill(_pid(service, "a"), signal.SIGKILL)
        service.expect(r"ended a killed by SIGKILL pause 0\.0")


def test_stop_during_a_pause(start: Start) -> None:
    """A pause before a respawn does not delay a stop."""
    service = start(("a", "good"), pause=3600.0)
    os.kill(_pid(service, "a"), signal.SIGKILL)
    service.expect(r"ended a killed by SIGKILL pause 30\.0")
    service.signal(signal.SIGTERM)
    assert service.end() == 0


@pytest.mark.parametrize(
    ("kind", "printed"),
    [("fails", "failed bad RuntimeError\\('cannot start'\\)"), ("leaves", "ended bad exit status 0 .*")],
)
def test_child_that_cannot_start_ends_the_service(start: Start, kind: str, printed: str) -> None:
    """The service ends with exit status 1 and the reason, after the other children have drained."""
    service = start(("a", "good"), ("bad", kind))
    service.expect(printed)
    assert service.end() == 1
    assert "a order drain" in service.printed
    assert [line for line in service.printed if line.startswith("ended bad")] != []


def test_child_that_could_start_once_is_tried_again(start: Start) -> None:
    """An instance that fails before readiness is replaced if an earlier one in its slot was ready."""
    service = start(("a", "good_once"))
    os.kill(_pid(service, "a"), signal.SIGKILL)
    service.expect("ended a exit status 7 pause 0.002")
    service.expect(r"a runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0


def test_failed_fork_is_tried_again(start: Start) -> None:
    """A fork that fails is tried again with growing pauses, while the other children continue."""
    service = start(("a", "good"), ("b", "good"), forks_failing=[3, 4])
    pid = _pid(service, "a")
    service.expect("all ready")
    os.kill(pid, signal.SIGKILL)
    service.expect("ended a not started: Resource temporarily unavailable pause 0.002")
    service.expect("ended a not started: Resource temporarily unavailable pause 0.004")
    service.expect(r"a runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "b order drain" in service.printed


def test_failed_first_fork_ends_the_service(start: Start) -> None:
    """A first fork that fails ends the service as any failed start does."""
    service = start(("a", "good"), ("b", "good"), forks_failing=[2])
    assert service.end() == 1
    assert "a order drain" in service.printed


def test_reload_reaches_every_child(start: Start) -> None:
    """Every child receives the orders in sequence, and a reload without an order sends none."""
    service = start(("a", "good"), ("b", "good"))
    service.expect("all ready")
    for number in (1, 2, 3):
        service.signal(signal.SIGHUP)
        service.expect(f"reload {number}")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    for name in "ab":
        orders = [line for line in service.printed if line.startswith(f"{name} order")]
        assert orders == [f"{name} order {order}" for order in ("config 1", "config 3", "drain")]


def test_a_child_that_is_busy_is_left_to_finish(start: Start) -> None:
    """With `leave_after` a successor can start while it finishes; a child that outlives the others ends as usual."""
    service = start(("a", "busy"), ("b", "good"), ("c", "lasting"), leave_after=0.0)
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    service.expect("a orphaned")
    assert service.end() == 0
    assert "c terminated" in service.printed
    assert not [line for line in service.printed if line.startswith("ended a")]


def test_a_stop_for_a_successor(start: Start) -> None:
    """USR2 drains like TERM, unless no successor could start; TERM still ends a restart."""
    service = start(("a", "good"), order="invalid")
    service.expect("all ready")
    service.signal(signal.SIGUSR2)
    service.signal(signal.SIGHUP)
    service.expect("a order invalid1")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "restarting" not in service.printed
    service = start(("a", "busy"), leave_after=0.0)
    service.expect("all ready")
    service.signal(signal.SIGUSR2)
    service.expect("a order drain")
    service.signal(signal.SIGTERM)
    service.expect("a orphaned")
    assert service.end() == 0
    assert [line for line in service.printed if line in {"restarting", "stopping"}] == ["restarting", "stopping"]


def test_reload_while_stopping_is_ignored(start: Start) -> None:
    """A service that is stopping reads no new configuration."""
    service = start(("a", "stuck"), ("b", "good"))
    pid = _pid(service, "a")
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    service.expect("ended b .*")
    service.signal(signal.SIGHUP)
    os.kill(pid, signal.SIGKILL)
    assert service.end() == 0
    assert "reload 1" not in service.printed


def test_a_reload_adds_a_child(start: Start) -> None:
    """A child that the service needs since a reload runs from then on, gets later orders, and is replaced."""
    service = start(("a", "good"), added=[("b", "good")])
    service.expect("all ready")
    service.signal(signal.SIGHUP)
    pid = int(service.expect(r"b runs (\d+)")[1])
    service.signal(signal.SIGHUP)
    service.expect("reload 2")
    service.signal(signal.SIGHUP)
    service.expect("b order config 3")
    os.kill(pid, signal.SIGKILL)
    service.expect("ended b killed by SIGKILL .*")
    service.expect(r"b runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0


def test_a_broken_child_of_a_reload_ends_nothing(start: Start) -> None:
    """The service works without it: it is tried again and again."""
    service = start(("a", "good"), added=[("b", "fails")])
    service.expect("all ready")
    service.signal(signal.SIGHUP)
    for _ in range(3):
        service.expect("ended b .*")
    service.signal(signal.SIGTERM)
    assert service.end() == 0


def test_child_that_reads_no_orders_delays_nothing(start: Start) -> None:
    """A child whose pipe is full does not delay the others, and a stop still ends it."""
    service = start(("a", "stuck"), ("b", "good"), order="x" * 15000)
    pid = _pid(service, "a")
    service.expect("all ready")
    for number in range(1, 61):
        service.signal(signal.SIGHUP)
        service.expect(f"reload {number}")
        if number % 2:  # b is read to the end before the next one, or its pipe could fill up as well
            service.expect("b order x+")
    service.signal(signal.SIGTERM)
    service.expect("ended b exit status 0 pause None")
    os.kill(pid, signal.SIGKILL)
    assert service.end() == 0
    assert sum(line.startswith("b order x") for line in service.printed) == 30
    assert "b order drain" in service.printed


def test_a_stuck_child_is_killed_when_the_drain_times_out(start: Start) -> None:
    """A stuck child is killed, so that the stop of a service is bounded."""
    service = start(("a", "stuck"), drain_timeout=0.1)
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "ended a killed by SIGKILL pause None" in service.printed


def test_a_child_that_hangs_is_replaced(start: Start) -> None:
    """A child without a sign of life is killed once, and a child with signs of life goes on."""
    service = start(("a", "hanging"), ("b", "beating"), silence=0.5)
    pid = _pid(service, "a")
    _pid(service, "b")
    service.expect("hangs a True")
    service.expect("ended a killed by SIGKILL pause 0.001")
    assert _pid(service, "a") != pid
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert not [line for line in service.printed if line.startswith("hangs b")]


def test_a_stopped_child_is_replaced(start: Start) -> None:
    """A process that is stopped cannot end by itself, and is killed."""
    service = start(("a", "beating"), silence=0.5)
    pid = _pid(service, "a")
    service.expect("all ready")
    os.kill(pid, signal.SIGSTOP)
    service.expect("ended a killed by SIGKILL pause 0.001")
    assert _pid(service, "a") != pid


def test_a_supervisor_that_was_stopped_kills_nobody(start: Start) -> None:
    """The signs of life that it could not see are kept, and no pipe was filled by them."""
    service = start(("a", "beating"), silence=0.5)
    service.expect("all ready")
    service.signal(signal.SIGSTOP)
    for _ in range(3):
        service.expect("a beats 50")
    service.signal(signal.SIGCONT)
    for _ in range(2):
        service.expect("a beats 50")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert not [line for line in service.printed if line.startswith("hangs")]


def test_a_hang_during_the_drain_ends_it(start: Start) -> None:
    """A child that hangs does not use up the time of the drain."""
    service = start(("a", "hanging"), silence=0.5)
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "ended a killed by SIGKILL pause None" in service.printed


@pytest.mark.parametrize("respawned", [False, True])
def test_children_see_the_supervisor_die(start: Start, respawned: bool) -> None:  # noqa: FBT001 - a table's column
    """No sibling, older or newer, holds a child's pipe open when the supervisor dies."""
    service = start(("a", "stuck"), ("b", "good"), ("c", "stuck"))
    pid = _pid(service, "a")
    service.expect("all ready")
    if respawned:
        os.kill(pid, signal.SIGKILL)
        service.expect("a runs .*")
    service.signal(signal.SIGKILL)
    service.expect("b orphaned")


@pytest.mark.parametrize(("failures", "pause"), [(0, 0.0), (1, 0.1), (2, 0.2), (9, 25.6), (10, 30.0), (10**6, 30.0)])
def test_backoff(failures: int, pause: float) -> None:
    """The pause grows from a tenth of a second to half a minute and no further."""
    assert _backoff(failures) == pytest.approx(pause)
