"""Carries out a plan, step by step. The former state is recorded before a step changes it: any moment can be undone."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from miltscan.errors import SetupError
from miltscan.setup.changes import Awaited, Change, RestoreFile, RunProgram, WaitFor, WriteFile
from miltscan.setup.disk import Disk, Runner, digest
from miltscan.setup.facts import read_units
from miltscan.setup.record import FileBefore, Record, UnitBefore, former, remember_file, save_record
from miltscan.setup.undo import DELIVERY_FILES

Say = Callable[[str], None]
Wait = Callable[[], str]
"""What is not yet so, in words; empty if the condition holds."""


@dataclass(slots=True)
class Tools:
    """The host, the record of what was changed, and what a step may wait for."""

    disk: Disk
    run: Runner
    record: Record
    conditions: Mapping[Awaited, Wait]
    say: Say
    interval: float = 2.0


def perform(changes: Sequence[Change], tools: Tools, again: str) -> None:
    """Carry out the steps in order. Raises SetupError at the first that fails; `again` is the command to repeat."""
    for number, change in enumerate(changes, 1):
        tools.say(f"{number}. {change.title}")
        try:
            _perform(change, tools)
        except (OSError, SetupError) as problem:
            done = f"steps 1 to {number - 1} of {len(changes)} are done" if number > 1 else "nothing is done"
            text = f"step {number}, {change.title}: {problem}"
            raise SetupError(f"{text}. Repair it and run `{again}` again, which goes on; {done}") from None


def _perform(change: Change, tools: Tools) -> None:
    if isinstance(change, WriteFile):
        _write(change, tools)
    elif isinstance(change, RestoreFile):
        _restore(change.path, tools)
    elif isinstance(change, RunProgram):
        _remember(change, tools)
        _run(tools, *change.argv, tolerant=change.argv[0] == "timeout")
    else:
        _wait(change, tools)


def _write(change: WriteFile, tools: Tools) -> None:
    present = tools.disk.look(change.path)
    remember_file(tools.disk, tools.record, change.path, change.content, change.line)
    # a new file has the mode of an ordinary one; its time is now, by which the services that read it are restarted
    like = present and present._replace(mtime_ns=time.time_ns())
    tools.disk.write(change.path, change.content, like=like)


def _remember(change: RunProgram, tools: Tools) -> None:
    for path in change.files:
        remember_file(tools.disk, tools.record, path)
    for name, unit in read_units(tools.run, change.units).items() if change.units else ():
        tools.record.units.setdefault(name, UnitBefore(unit.enabled, unit.active))
    tools.record.folders += [folder for folder in change.folders if folder not in tools.record.folders]
    if change.units or change.folders:
        save_record(tools.disk, tools.record)


def _run(tools: Tools, *argv: str, tolerant: bool = False) -> None:
    status, output = tools.run(argv)
    if status and not tolerant:
        raise SetupError(output.splitlines()[-1] if output else f"exit status {status}")


def _wait(change: WaitFor, tools: Tools) -> None:
    deadline = time.monotonic() + change.seconds
    while problem := tools.conditions[change.condition]():
        if time.monotonic() > deadline:
            if change.needed:
                raise SetupError(f"not after {change.seconds:.0f} s: {problem}")
            return
        time.sleep(tools.interval)


def _restore(path: str, tools: Tools) -> None:
    """Restore a file that is as setup left it; keep one that a person has changed, and name it."""
    if path not in tools.record.files:  # done together with another one
        return
    disk, before = tools.disk, tools.record.files[path]
    content = disk.read(path)
    if path in DELIVERY_FILES and tools.conditions[Awaited.HANDED_OVER]():
        tools.say(f"   {path} stays: mail in the delivery queue requires it")
        return
    made = not before.after  # by a program of a step: aliases.db
    if content is None or made or digest(content) in before.after or digest(content) == before.backup:
        _put_back(path, before, disk)
    else:
        _keep(path, before, content, tools)
    del tools.record.files[path]
    save_record(disk, tools.record)


def _put_back(path: str, before: FileBefore, disk: Disk) -> None:
    if before.backup:
        disk.write(path, (look := former(disk, before)).content, like=look)
    else:
        disk.remove(path, before.folders)


def _keep(path: str, before: FileBefore, content: bytes, tools: Tools) -> None:
    lines, line = content.splitlines(keepends=True), f"{before.line}\n".encode()
    if before.line and line in lines:
        lines.remove(line)
        tools.disk.write(path, b"".join(lines), like=tools.disk.look(path))
        tools.say(f"   {path} was changed since: only the line `{before.line}` is removed")
        _run(tools, "newaliases")
        tools.record.files.pop(f"{path}.db", None)
        return
    text = f"   {path} was changed since setup, and stays as it is"
    if before.backup:
        kept = f"{path}.before-setup"
        tools.disk.write(kept, (look := former(tools.disk, before)).content, like=look)
        text += f"; the former file is {kept}"
    tools.say(text)
