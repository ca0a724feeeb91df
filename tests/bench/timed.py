"""miltscan with a clock on each of its parts: `python -m tests.bench.timed FILE ARGUMENT...` runs it with arguments.

A worker that ends writes to FILE the number of calls of each part and their CPU time, which is that of the thread, so
that waiting and other threads do not count. A clock costs as much as some parts. Its cost is also written, so that
`breakdown` can subtract it. Only one session may be open at a time.
"""

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from socket import socket
from time import thread_time_ns
from typing import Any

import milter

from miltscan.cli import run_cli
from miltscan.daemon.recorder import MessageRecorder
from miltscan.daemon.worker import Worker
from miltscan.engines.clamd.engine import ClamdEngine
from miltscan.engines.clamd.room import Glance
from miltscan.milter import callbacks as service
from miltscan.processes.link import ChildLink
from miltscan.scanning import pipeline
from miltscan.scanning.spool import Spool
from miltscan.scanning.unwrapping import Unwrapped
from miltscan.telemetry import log

CALLBACKS = ("connect", "envfrom", "envrcpt", "header", "body", "eom", "close")
CLOCKED: tuple[tuple[object, str, str], ...] = (
    (Spool, "write", "spool"),
    (Spool, "close", "spool"),
    (Glance, "look", "looks"),
    (ClamdEngine, "scan", "exchange"),
    (pipeline, "rule_on_standings", "decision"),
    (Unwrapped, "_read", "structure"),
    (service, "carry_out", "answer"),
    (log, "message", "log"),
    (MessageRecorder, "publish", "metrics"),
)
_TRIALS = 100_000


@dataclass
class Clock:
    """The clock of one part: calls, nanoseconds, and the number of clocked calls within them."""

    calls: int = 0
    spent: int = 0
    within: int = 0


_clocks: dict[str, Clock] = {}
_thread = threading.local()


def clocked(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a clock on it."""
    clock = _clocks.setdefault(name, Clock())

    @wraps(work)
    def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any argument
        outer, _thread.within = getattr(_thread, "within", 0), 0
        began = thread_time_ns()
        try:
            return work(*arguments, **named)
        finally:
            clock.spent += thread_time_ns() - began
            clock.calls += 1
            clock.within += _thread.within
            _thread.within += outer + 1

    return timed


def cost() -> tuple[float, float]:
    """Return the nanoseconds that a clock adds to its own measurement, and to that of a clock around it."""
    inner = clocked("nothing", lambda: None)

    def trial() -> None:
        for _ in range(_TRIALS):
            inner()

    clocked("trial", trial)()
    nothing, outer = _clocks.pop("nothing"), _clocks.pop("trial")
    return nothing.spent / _TRIALS, outer.spent / _TRIALS


def main(file: Path) -> None:
    """Run the program with the rest of the command line."""
    inside, around = cost()
    for owner, name, part in CLOCKED:
        setattr(owner, name, clocked(part, getattr(owner, name)))
    for name in CALLBACKS:
        _clock_callback(name)
    serve = Worker.run

    def run(worker: Worker, listener: socket, link: ChildLink, renewals: socket) -> None:
        serve(worker, listener, link, renewals)
        parts = {name: asdict(clock) for name, clock in _clocks.items()}
        file.write_text(json.dumps({"inside": inside, "around": around, "parts": parts}))

    setattr(Worker, "run", run)  # noqa: B010 - as above; mypy refuses the assignment
    run_cli()


def _clock_callback(name: str) -> None:
    setter = getattr(milter, f"set_{name}_callback")
    setattr(milter, f"set_{name}_callback", lambda callback: setter(clocked(name, callback)))


if __name__ == "__main__":
    main(Path(sys.argv.pop(1)))
