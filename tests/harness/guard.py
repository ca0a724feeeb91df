"""Ends the programs of a run that was cut: a process next to the run waits for its end, then kills what is left.

SIGKILL leaves pytest no time to clean up. `watch` and `watch_group` register what is to end with the calling process;
the first call starts the guard (`python -m tests.harness.guard PID REGISTRY`), which ends with the run. It removes no
file but its registry.
"""

import os
import select
import shutil
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from tests.harness.ending import end_recorded, record, users
from tests.harness.programs import CHECKOUT

_guards: set[int] = set()


def watch(folder: Path) -> None:
    """Ends the programs recorded in `folder`, and all that use it, when this process ends; until `release`."""
    with suppress(FileExistsError):
        _link(folder).symlink_to(folder)


def release(folder: Path) -> None:
    """Lets the programs of `folder` outlive this process."""
    _link(folder).unlink(missing_ok=True)


def pids() -> set[int]:
    """The process IDs of the guards of this process. They end after it, so it must not wait for them."""
    return _guards


def watch_group(leader: int) -> None:
    """Kills the process group of this leader, if it still runs, when this process ends."""
    record(_registry(os.getpid()) / f"{leader}.pid.json", leader)


def _link(folder: Path) -> Path:
    return _registry(os.getpid()) / str(folder).replace("/", "|")


@cache
def _registry(run: int) -> Path:
    """The registry of the process `run`: links to folders, and records of process groups."""
    registry = Path(tempfile.mkdtemp(prefix="miltscan-run-"))
    pid = os.posix_spawn(  # and not Popen, which expects its maker to wait for the process
        sys.executable,
        [sys.executable, "-m", __name__, str(run), str(registry)],
        {**os.environ, "PYTHONPATH": str(CHECKOUT)},
        file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)],
        setsid=True,
    )
    _guards.add(pid)
    return registry


def main(run: int, registry: Path) -> None:
    """Waits for the end of process `run`, then ends what is registered."""
    with suppress(ProcessLookupError):  # it has ended already
        select.select([os.pidfd_open(run)], [], [])
    end_recorded(registry, timeout=0)
    for entry in registry.iterdir():
        if entry.is_symlink():  # else the record of a group that has ended
            _end_users(entry.readlink())
    shutil.rmtree(registry)


def _end_users(folder: Path) -> None:
    """Kills the programs of `folder`, again until none is left: a supervisor may just have replaced a worker."""
    end_recorded(folder, timeout=0)
    while found := users(folder):
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=1)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
