"""Programs that run next to a test: started with a log file, awaited by a condition, ended by their process group.

Knows nothing of mail. Each program leads a session of its own, so that what it forked ends with it, and its pid stands
in `FOLDER/NAME.pid.json`, so that another process can end it later (`ending.end_recorded`), the guard
does so where this process is killed.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

import psutil

from tests.harness import guard
from tests.harness.ending import kill_group, living, record
from tests.harness.programs import CHECKOUT

Result = TypeVar("Result")
PATIENCE = 60.0  # seconds for what takes none on an idle machine


class ProgramError(Exception):
    """A program did not start, ended too early, or a condition did not come true in time."""


def wait_until(condition: Callable[[], Result | None], timeout: float, what: str) -> Result:
    """The first true value of `condition`; ProgramError naming `what` after `timeout` seconds.

    It is asked every 10 ms, in a long wait less often: a question may be a scrape, which costs about 10 ms itself.
    """
    began = time.monotonic()
    while not (result := condition()):
        waited = time.monotonic() - began
        if waited > timeout:
            raise ProgramError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(min(max(0.01, waited / 10), 0.25))
    return result


@dataclass
class Program:
    """A running program: what it prints goes to `log`; `terminate` before leaving."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    record: Path
    ended: bool = False

    @property
    def pid(self) -> int:
        """Process ID; also the ID of its process group."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def wait_ready(self, condition: Callable[[], Result | None], timeout: float = PATIENCE) -> Result:
        """As wait_until, but a program that ends meanwhile is a ProgramError with the end of its log."""

        def ready() -> Result | None:
            if not self.alive:
                raise ProgramError(f"{self.name} ended with status {self.process.returncode}: {self.tail()}")
            return condition()

        return wait_until(ready, timeout, f"{self.name} (its log: {self.tail()})")

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program itself, not to its children."""
        self.process.send_signal(number)

    def terminate(self, timeout: float = 30.0) -> int:
        """TERM, after `timeout` seconds KILL, in the end KILL to what is left of its group. Returns its exit status."""
        if self.alive:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()
        self.kill()
        return status

    def kill(self) -> int:
        """KILL to the program and all of its group. Returns its exit status."""
        if not self.ended:  # once only: later the number may be another group's
            kill_group(self.pid)
            self.record.unlink()
        self.ended = True
        status = self.process.wait()
        wait_until(lambda: not living(self.pid), PATIENCE, f"the end of all processes of {self.name}")
        return status

    def tail(self) -> str:
        """The last 800 characters it printed."""
        return self.log.read_text(errors="replace")[-800:].strip()


@dataclass
class Programs:
    """All programs of one folder. As a context manager it ends them, last one first, in any case."""

    folder: Path
    running: list[Program] = field(default_factory=list)

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
        descriptors: Sequence[int] = (),
    ) -> Program:
        """Starts `command` with `environment` added to ours, its output appended to `FOLDER/NAME.log`.

        Standard output goes to the descriptor `stdout` if there is one. It inherits `descriptors`, under their numbers.
        """
        guard.watch(self.folder)
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=output,
                env={**os.environ, **(environment or {})},
                cwd=CHECKOUT,  # where `python -m tests.harness...` is found
                start_new_session=True,
                pass_fds=descriptors,
            )
        program = Program(name, process, log, self.folder / f"{name}.pid.json")
        record(program.record, process.pid)
        self.running.append(program)
        return program

    def end(self) -> None:
        """Ends every program, last started first."""
        while self.running:
            self.running.pop().terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def children_named(supervisor: int, kind: str) -> list[psutil.Process]:
    """The children of the supervisor, a process ID, that show themselves as this kind: worker, exporter, keeper."""
    children = psutil.Process(supervisor).children()
    return [child for child in children if _name(child) == f"miltscan {kind}"[:15]]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:  # it has ended meanwhile
        return ""
