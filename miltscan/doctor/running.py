"""Whether a sendmail runs as its .cf file and its pid file say: the right process, file and age, and a queue run."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.programs import RunningProgram, listeners, process, titles
from miltscan.sandwich.queues import Depth, look, lost

_BY_ITSELF = (Path("/etc/mail/sendmail.cf"), Path("/etc/sendmail.cf"))
"""What a sendmail without -C reads: the distribution's own, started in place of the incoming one, has no filter."""
_HOUR = 3600
_LONG = 4 * _HOUR  # seconds: when sendmail itself warns the sender (Timeout.queuewarn)


@dataclass(frozen=True, slots=True)
class PidFile:
    """What a pid file says, and who that is: sendmail writes its pid, and its command line below it."""

    path: str
    pid: int
    command: str
    process: RunningProgram | None


def read_pid_file(path: str) -> PidFile | None:
    """None where there is none, or none that we may read."""
    try:
        first, _, rest = Path(path).read_text(errors="replace").partition("\n")
    except OSError:
        return None
    pid = int(first) if first.strip().isdigit() else 0
    return PidFile(path, pid, rest.strip(), process(pid) if pid else None)


def running_findings(name: str, file: Path, pid_file: str, port: int | None) -> Iterator[Finding]:
    """All about one sendmail; `port` is None for one that is started for each message."""
    holding = [one.pid for one in listeners(port)] if port else []
    yield from pid_findings(name, pid_file, read_pid_file(pid_file), holding, file)


def pid_findings(name: str, path: str, found: PidFile | None, holding: Sequence[int], file: Path) -> Iterator[Finding]:
    """The pid file names the process that listens (one of `holding`), and it was started with this .cf file."""
    subject = f"{name} pid file {path}"
    again = f"stop it by hand, remove {path} and start it again"
    if found is None:
        yield error(subject, "is not there or cannot be read: nothing can stop or reload this sendmail", again)
    elif found.process is None:
        yield error(subject, f"is stale: there is no process {found.pid}", again)
    elif not found.process.is_sendmail:
        yield error(subject, f"is stale: that is {found.process} now", again)
    elif holding and found.pid not in holding:
        yield error(subject, f"names {found.pid}, but process {holding[0]} listens: two were started", again)
    else:
        yield ok(subject, f"names process {found.pid}")
        yield from _file(name, found.command, found.process.started, file)


def _file(name: str, command: str, started: float, file: Path) -> Iterator[Finding]:
    subject, named = f"{name} configuration", re.search(r"-C ?(\S+)", command)
    used = [Path(named[1])] if named else [*_BY_ITSELF]
    if command and file.resolve() not in [one.resolve() for one in used]:
        yield error(subject, f"it runs with {used[0]}, not with {file}", f"name that file, or start it with -C{file}")
    elif file.stat().st_mtime > started + 1:  # a start is known to the second
        yield error(subject, f"{file} has changed since the start: it runs with what stood there before", "restart it")
    else:
        yield ok(subject, f"it runs with {file}")


def queue_run_findings(name: str, pid_file: str, queue: str) -> Iterator[Finding]:
    """Somebody retries what could not be handed over at once; `queue` is its QueueDirectory."""
    found = read_pid_file(pid_file)
    yield queue_run(name, found.command if found else "", titles(), queue)


def queue_run(name: str, command: str, running: Sequence[str], queue: str) -> Finding:
    """A daemon started with -qTIME, or a queue runner of its own, whose title names the queue (seen with 8.17)."""
    subject = f"{name} queue run"
    if own := re.search(r"\s-q(\S+)", command):
        return ok(subject, f"every {own[1].removeprefix('p')}")
    folder = re.escape(queue.removesuffix("*")) + ("" if queue.endswith("*") else r"(?![\w.-])")
    if any(re.search(rf"^sendmail: .*queue.* {folder}", title, re.IGNORECASE) for title in running):
        return ok(subject, "by a queue runner of its own")
    text = "none is seen: what cannot be handed over at once stays in the queue until somebody sends it by hand"
    return warning(subject, text, "start it with -q5m, or a queue runner beside it")


def waiting_findings(name: str, queue: str, now: float) -> Iterator[Finding]:
    """The messages in the queue, and how long the oldest has been there; `now` in seconds since the epoch.

    A folder that is not there has a finding of its own.
    """
    try:
        yield waiting(name, look(queue), now)
        yield from lost_findings(name, lost(queue))
    except FileNotFoundError:
        return
    except OSError as problem:
        text = f"{problem.filename} cannot be read ({problem.strerror}): whether mail waits there is not known"
        yield warning(f"{name} queue", text, "run as root")


def lost_findings(name: str, files: Sequence[str]) -> Iterator[Finding]:
    """Accepted mail that nobody will ever try again: a Qf file, which sendmail renames so when it cannot read it."""
    if files:
        text = f"{len(files)} out of the queue for good ({files[0]} and the like): sendmail could not read them"
        remedy = 'mailq -qL lists them, "Losing" in the mail log says why; mend each and call it qf again'
        yield error(f"{name} queue", text, remedy)


def waiting(name: str, found: Depth, now: float) -> Finding:
    """What waits, by what the queue's files say."""
    subject = f"{name} queue"
    if found.oldest is None:
        return ok(subject, "no message waits")
    age = now - found.oldest
    text = f"{found.entries} wait, the oldest for {age / _HOUR:.1f} h"
    if age > _LONG:
        return warning(subject, text, "mailq names the reason of each")
    return ok(subject, text)
