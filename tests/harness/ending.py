"""Finds and ends processes that other code has started, by process group, record or folder."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil


def record(file: Path, pid: int) -> None:
    """Writes a record of this process, a group's leader, for `end_recorded`."""
    file.write_text(json.dumps({"pid": pid, "started": psutil.Process(pid).create_time()}))


def kill_group(group: int) -> None:
    """Send KILL to a process group; an empty one is not an error."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def living(group: int) -> list[psutil.Process]:
    """The processes of a group, but for those that wait only for their parent to hear of their end."""
    return [process for process in psutil.process_iter() if _group_of(process) == group]


def _group_of(process: psutil.Process) -> int:
    try:
        return 0 if ended(process) else os.getpgid(process.pid)
    except ProcessLookupError:
        return 0


def ended(process: psutil.Process) -> bool:
    """Whether it is gone, or a zombie."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def end_recorded(folder: Path, timeout: float = 30.0) -> list[str]:
    """Ends what another process started in `folder` and left running; the names of what was ended.

    A pid that meanwhile belongs to another process is recognized by its start time and left alone.
    """
    found = [(record, json.loads(record.read_text())) for record in sorted(folder.glob("*.pid.json"))]
    programs = {record: process for record, entry in found if (process := _recorded_process(**entry)) is not None}
    for process in programs.values():
        with suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
            process.terminate()
    psutil.wait_procs(list(programs.values()), timeout=timeout)
    for record, process in programs.items():
        kill_group(process.pid)
        record.unlink()
    return [record.name.removesuffix(".pid.json") for record in programs]


def _recorded_process(pid: int, started: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if process.create_time() == started else None


def users(folder: Path) -> list[psutil.Process]:
    """The processes whose program or command line names something in `folder`, in any process group."""
    return [process for process in psutil.process_iter() if _uses(process, f"{folder}/")]


def _uses(process: psutil.Process, prefix: str) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return not ended(process) and (process.exe().startswith(prefix) or prefix in " ".join(process.cmdline()))
    return False
