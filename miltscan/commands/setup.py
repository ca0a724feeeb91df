"""`setup`: prints the plan, asks, carries it out, and checks the result; or undoes it."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import difflib
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.report import print_steps
from miltscan.commands.terminal import complain, say
from miltscan.config.load import load_settings
from miltscan.config.settings import Settings
from miltscan.doctor.postfix import postfix_finding
from miltscan.doctor.steps import DELIVERY_FILE, DoctorOptions, examine, first_incoming
from miltscan.errors import SetupError
from miltscan.scanning.assemble_engines import probe_engines
from miltscan.scanning.servers import ServerRecords
from miltscan.setup.changes import Awaited, Change, RestoreFile, WriteFile
from miltscan.setup.disk import Disk, run_program
from miltscan.setup.facts import (
    CLAMD,
    CLAMD_SOCKET,
    DELIVERY_QUEUE,
    find_installation,
    is_root,
    read_facts,
    read_units,
    waiting,
)
from miltscan.setup.perform import Tools, Wait, perform
from miltscan.setup.plan import notes, obstacles, setup_plan
from miltscan.setup.record import forget, former, load_record, save_record
from miltscan.setup.undo import DELIVERY_FILES, undo_plan

_LOCK = Path("/var/lib")  # a folder: a lock on it leaves no file behind
_USAGE = 2
_LONG = 60  # lines of a new file that are shown


def setup(
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and the changes of files, and change nothing.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Restore the host to what it was before setup.")] = False,
    files: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A clone of miltscan, for its files [default: /usr/share/miltscan, else the clone]",
            show_default=False,
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Set up clamd and both sendmails on this host.

    It prints a plan, asks, and carries it out: settings of clamd, the configuration of both sendmails, an alias for
    postmaster, the units. miltscan replaces the distribution's sendmail when clamd has its signatures; no mail is lost
    or refused for longer than a restart. At the end it runs doctor --send, whose status is that of setup. A second
    setup changes only what differs from the settings. --undo restores each file that nobody has changed since, and the
    state of each unit; mail in a queue stays. Run it as root.

    \b
    Examples:
      miltscan setup --dry-run
      miltscan setup
      miltscan setup --yes
      miltscan setup --undo
    """
    if not is_root():
        complain("setup: changes the host: run it as root")
        raise typer.Exit(_USAGE)
    with exit_on_error(), _alone():
        settings = load_settings(config)
        disk = Disk()
        tools = Tools(disk, run_program, load_record(disk), _conditions(settings, disk), say)
        ask = not yes
        if undo:
            raise typer.Exit(_undo(tools, ask=ask, dry_run=dry_run))
        if postfix_finding(first_incoming()):
            raise SetupError("setup: this host runs Postfix, and setup knows only sendmail: docs/postfix.md")
        facts = read_facts(settings, find_installation(files), disk, run_program, tools.record)
        if lines := obstacles(facts):
            raise SetupError("\n".join(f"setup: {line}" for line in lines))
        changes = setup_plan(facts)
        _show(changes, tools, [*notes(facts)] if changes else [], diffs=dry_run)
        if changes and not dry_run:
            _agree(ask=ask)
            perform(changes, tools, "miltscan setup")
    if dry_run:
        raise typer.Exit(0)
    say("doctor --send:", "bold")
    options = DoctorOptions(first_incoming(), DELIVERY_FILE, "postmaster", None, config)
    raise typer.Exit(int(bool(print_steps(examine(settings, options), problems=True).repairs())))


def _undo(tools: Tools, *, ask: bool, dry_run: bool) -> int:
    """Undo what the record has; returns the exit status."""
    if tools.record.empty:
        say("nothing to undo: setup has changed nothing on this host")
        return 0
    units = read_units(tools.run, tools.record.units) if tools.record.units else {}
    changes = undo_plan(tools.record, units)
    _show(changes, tools, [], diffs=dry_run)
    if dry_run:
        return 0
    _agree(ask=ask)
    perform(changes, tools, "miltscan setup --undo")
    tools.record.units.clear()
    if not tools.record.files:
        forget(tools.disk, tools.record)
        say("The host is as it was before setup.")
        return 0
    save_record(tools.disk, tools.record)
    left = waiting(tools.disk, DELIVERY_QUEUE)
    say(f"Messages that wait in {DELIVERY_QUEUE}, and that no process delivers now: {left}.", "warning")
    say(f"Deliver them with: sendmail -C {DELIVERY_FILES[0]} -q; then run `miltscan setup --undo` again.", "warning")
    return 1


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the lock of setup: two at once would record each other's changes."""
    lock = os.open(_LOCK, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError("setup: another setup is running: wait until it has ended") from None
        yield
    finally:
        os.close(lock)


def _agree(*, ask: bool) -> None:
    if ask and not sys.stdin.isatty():
        complain("setup: cannot ask, because standard input is not a terminal: use --yes, or --dry-run")
        raise typer.Exit(_USAGE)
    if ask:
        typer.confirm("Carry out this plan?", abort=True, err=True)


def _show(changes: Sequence[Change], tools: Tools, remarks: Sequence[str], *, diffs: bool) -> None:
    """Print the plan."""
    if not changes:
        say("Nothing to change: the host is set up.")
        return
    say("Plan:", "bold")
    for number, change in enumerate(changes, 1):
        say(f"{number:3}. {change.title}\n     {change.why}")
        if diffs:
            for line in _difference(change, tools):
                say(f"     {line}")
    for remark in remarks:
        say(remark)


def _difference(change: Change, tools: Tools) -> Iterator[str]:
    """What a step changes in a file, as a unified diff."""
    if not isinstance(change, WriteFile | RestoreFile):
        return
    present, later = tools.disk.read(change.path) or b"", b""
    if isinstance(change, WriteFile) and not present and (lines := change.content.count(b"\n")) > _LONG:
        yield f"a new file of {lines} lines"
        return
    if isinstance(change, WriteFile):
        later = change.content
    elif (before := tools.record.files[change.path]).backup:
        later = former(tools.disk, before).content
    old, new = (text.decode(errors="replace").splitlines() for text in (present, later))
    yield from difflib.unified_diff(old, new, change.path, change.path, lineterm="", n=1)


def _conditions(settings: Settings, disk: Disk) -> dict[Awaited, Wait]:
    return {
        Awaited.SCANNER: lambda: _scanner_problem(settings),
        Awaited.HANDED_OVER: lambda: "mail waits" if waiting(disk, DELIVERY_QUEUE) else "",
    }


def _scanner_problem(settings: Settings) -> str:
    """Why no required engine scans; empty if each has a server that passes its self-test."""
    # without signatures systemd starts no clamd, and reports no error
    run_program(["systemctl", "start", CLAMD_SOCKET, CLAMD])
    records = ServerRecords()
    probe_engines(settings.engines, records)
    for engine in settings.engines:
        seen = [records.of(engine.name, str(server)) for server in engine.servers]
        if engine.required and not any(one.good for one in seen):
            reason = next((one.why for one in seen if one.why), "no answer")
            return f"{engine.name}: {reason}. `journalctl -u clamav-freshclam -u clamav-daemon` shows the cause"
    return ""
