"""The supervisor, driven with plain functions as roles in a process of its own."""

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
    """The program `supervised` and what it has told so far."""

    def __init__(self, *roles: tuple[str, str], **arguments: object) -> None:
        defaults = {
            "drain_timeout": 60.0,
            "stable_after": 60.0,
            "pause": 0.001,
            "order": "config ",
            "forks_failing": [],
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
        self.told: list[str] = []
        self._new: list[str] = []
        self._rest = b""

    def expect(self, pattern: str) -> re.Match[str]:
        """The first line that matches and was not yet expected: what several processes tell has no order."""
        while not (match := self._unexpected(pattern)):
            if not (line := self._line()):
                raise AssertionError(f"the service ended before it told {pattern!r}; it told {self.told}")
            self.told.append(line)
            self._new.append(line)
        return match

    def _unexpected(self, pattern: str) -> re.Match[str] | None:
        for index, line in enumerate(self._new):
            if match := re.fullmatch(pattern, line):
                del self._new[index]
                return match
        return None

    def end(self) -> int:
        """The exit status, when every process of it has ended."""
        while line := self._line():
            self.told.append(line)
        return self.process.wait(PATIENCE)

    def signal(self, number: signal.Signals) -> None:
        """To the supervisor alone."""
        self.process.send_signal(number)

    def close(self) -> None:
        """Leave no process behind, whatever the test did."""
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
                raise AssertionError(f"nothing more after {self.told}")
            if not (data := stdout.read(65536)):
                return ""
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()


Start = Callable[..., Service]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a service that has ended, with all its processes, when the test has."""
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
    """Every child gets the order, and when all have gone, the exit status is 0."""
    service = start(("a", "good"), ("b", "good"))
    service.expect("all ready")
    service.signal(number)
    assert service.end() == 0
    ends = [line for line in service.told if "order" in line or "ended" in line]
    assert sorted(ends) == [
        "a order drain",
        "b order drain",
        "ended a exit status 0 pause None",
        "ended b exit status 0 pause None",
    ]
    assert service.told.count("all ready") == service.told.count("stopping") == 1


def test_ready_is_told_once(start: Start) -> None:
    """Not again when a replacement is ready."""
    service = start(("a", "good"))
    pid = _pid(service, "a")
    service.expect("all ready")
    os.kill(pid, signal.SIGKILL)
    service.expect(r"a runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert service.told.count("all ready") == 1


def test_drain_before_all_are_ready(start: Start) -> None:
    """A service that is told to stop while it starts does so."""
    service = start(("a", "never_ready"))
    service.expect(r"a runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "all ready" not in service.told


def test_one_role_outlives_the_others(start: Start) -> None:
    """The last numbers can still be fetched while the workers drain."""
    service = start(("exporter", "lasting"), ("a", "good"), ("b", "good"))
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    ends = [line.split()[1] for line in service.told if line.startswith("ended")]
    assert ends[-1] == "exporter"
    assert service.told.index("exporter terminated") > max(map(service.told.index, ["a order drain", "b order drain"]))


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGRTMIN + 5, "killed by signal 39")]
)
def test_dead_child_is_replaced(start: Start, number: int, words: str) -> None:
    """By a new process, with the end of the old one in words; its siblings go on."""
    service = start(("a", "good"), ("b", "good"))
    pid = _pid(service, "a")
    service.expect("all ready")
    os.kill(pid, number)
    service.expect(rf"ended a {words} pause 0.001")
    assert _pid(service, "a") != pid
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert service.told.count("b order drain") == 1


def test_pauses_grow_for_one_that_keeps_dying(start: Start) -> None:
    """Each early end doubles the pause."""
    service = start(("a", "ready_and_gone"))
    pauses = [float(service.expect(r"ended a exit status 0 pause (.*)")[1]) for _ in range(5)]
    assert pauses == [0.001, 0.002, 0.004, 0.008, 0.016]


def test_one_that_had_lived_is_replaced_at_once(start: Start) -> None:
    """Its failures are forgotten."""
    service = start(("a", "good"), stable_after=0.0)
    for _ in range(3):
        os.kill(_pid(service, "a"), signal.SIGKILL)
        service.expect(r"ended a killed by SIGKILL pause 0\.0")


def test_stop_while_nobody_lives(start: Start) -> None:
    """A pause before a respawn does not hold up the stop."""
    service = start(("a", "good"), pause=3600.0)
    os.kill(_pid(service, "a"), signal.SIGKILL)
    service.expect(r"ended a killed by SIGKILL pause 30\.0")
    service.signal(signal.SIGTERM)
    assert service.end() == 0


@pytest.mark.parametrize(
    ("kind", "told"),
    [("fails", "failed bad RuntimeError\\('cannot start'\\)"), ("leaves", "ended bad exit status 0 .*")],
)
def test_child_that_cannot_start_ends_the_service(start: Start, kind: str, told: str) -> None:
    """With exit status 1, after the others have drained, and not without the reason."""
    service = start(("a", "good"), ("bad", kind))
    service.expect(told)
    assert service.end() == 1
    assert "a order drain" in service.told
    assert [line for line in service.told if line.startswith("ended bad")] != []


def test_child_that_could_start_once_is_tried_again(start: Start) -> None:
    """What ended an instance that was never ready may pass: one before it was."""
    service = start(("a", "good_once"))
    os.kill(_pid(service, "a"), signal.SIGKILL)
    service.expect("ended a exit status 7 pause 0.002")
    service.expect(r"a runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0


def test_failed_fork_is_tried_again(start: Start) -> None:
    """No process to be had for a moment: the others go on, and the pause grows."""
    service = start(("a", "good"), ("b", "good"), forks_failing=[3, 4])
    pid = _pid(service, "a")
    service.expect("all ready")
    os.kill(pid, signal.SIGKILL)
    service.expect("ended a not started: Resource temporarily unavailable pause 0.002")
    service.expect("ended a not started: Resource temporarily unavailable pause 0.004")
    service.expect(r"a runs \d+")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "b order drain" in service.told


def test_failed_first_fork_ends_the_service(start: Start) -> None:
    """As any start that fails."""
    service = start(("a", "good"), ("b", "good"), forks_failing=[2])
    assert service.end() == 1
    assert "a order drain" in service.told


def test_reload_reaches_every_child(start: Start) -> None:
    """Orders come in their order; a reload that gives none sends none."""
    service = start(("a", "good"), ("b", "good"))
    service.expect("all ready")
    for number in (1, 2, 3):
        service.signal(signal.SIGHUP)
        service.expect(f"reload {number}")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    for name in "ab":
        orders = [line for line in service.told if line.startswith(f"{name} order")]
        assert orders == [f"{name} order {order}" for order in ("config 1", "config 3", "drain")]


def test_reload_while_stopping_is_ignored(start: Start) -> None:
    """A service that stops reads no new configuration."""
    service = start(("a", "stuck"), ("b", "good"))
    pid = _pid(service, "a")
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    service.expect("ended b .*")
    service.signal(signal.SIGHUP)
    os.kill(pid, signal.SIGKILL)
    assert service.end() == 0
    assert "reload 1" not in service.told


def test_child_that_takes_no_orders_holds_nobody_up(start: Start) -> None:
    """Its pipe fills up: the others still get theirs, and a stop still ends it."""
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
    assert sum(line.startswith("b order x") for line in service.told) == 30
    assert "b order drain" in service.told


def test_a_stuck_child_is_killed_when_the_drain_times_out(start: Start) -> None:
    """The stop of a service is bounded."""
    service = start(("a", "stuck"), drain_timeout=0.1)
    service.expect("all ready")
    service.signal(signal.SIGTERM)
    assert service.end() == 0
    assert "ended a killed by SIGKILL pause None" in service.told


@pytest.mark.parametrize("respawned", [False, True])
def test_children_see_the_supervisor_die(start: Start, respawned: bool) -> None:  # noqa: FBT001 - a table's column
    """Each pipe ends at once, for no sibling holds it open, whether it was born before or after."""
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
    """From a tenth of a second to half a minute, for however long it goes on."""
    assert _backoff(failures) == pytest.approx(pause)
