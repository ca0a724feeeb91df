"""Whether a sendmail runs as its .cf file and its pid file specify: the right process and file, and a queue run."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from miltscan.core import faults
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.programs import RunningProgram, listeners, process, titles
from miltscan.doctor.topics import SHARED_PID_FILE, denied, no_sendmail, old_mail
from miltscan.sandwich.queues import lost_files, read_depth

_DEFAULT_FILES = (Path("/etc/mail/sendmail.cf"), Path("/etc/sendmail.cf"))
"""What a sendmail without -C reads. The distribution's own, started in place of the incoming one, has no filter."""


@dataclass(frozen=True, slots=True)
class PidFile:
    """A pid file, to which sendmail writes its pid and, below it, its command line; and the process with this pid."""

    path: str
    pid: int
    command: str
    process: RunningProgram | None


def read_pid_file(path: str) -> PidFile | None:
    """The pid file; None if it does not exist or is not readable."""
    try:
        first, _, rest = Path(path).read_text(errors="replace").partition("\n")
    except OSError:
        return None
    pid = int(first) if first.strip().isdigit() else 0
    return PidFile(path, pid, rest.strip(), process(pid) if pid else None)


def title_of(pid_file: str) -> str:
    """The title that the process of this pid file has given itself; empty without one."""
    found = read_pid_file(pid_file)
    return found.process.command if found and found.process else ""


def running_findings(name: str, file: Path, pid_file: str, port: int | None) -> Iterator[Finding]:
    """The findings about one sendmail; `port` is None for one that is started for each message."""
    listening = [one.pid for one in listeners(port)] if port else []
    causes = (*_hidden(Path(pid_file)), no_sendmail(name), SHARED_PID_FILE)
    for found in pid_findings(name, pid_file, read_pid_file(pid_file), listening, file):
        yield found.because(*causes)


def _hidden(pid_file: Path) -> tuple[str, ...]:
    """The cause if this user may not see the pid file, or that its process exists (hidepid of proc(5))."""
    try:
        pid = int(pid_file.read_text(errors="replace").partition("\n")[0])
        os.kill(pid, 0)
    except OSError as problem:
        return denied(problem)
    except (ValueError, OverflowError):
        return ()
    return ()


def pid_findings(
    name: str, path: str, found: PidFile | None, listening: Sequence[int], file: Path
) -> Iterator[Finding]:
    """The pid file must name a process that listens, and that process must run with this .cf file as it is now."""
    subject = f"{name} pid file {path}"
    remedy = f"stop this sendmail by hand, remove {path} and start it again"
    if found is None:
        yield error(subject, "is missing or not readable: no script can stop or reload this sendmail", remedy)
    elif found.process is None:
        yield error(subject, f"is stale: process {found.pid} does not exist", remedy)
    elif not found.process.is_sendmail:
        yield error(subject, f"is stale: {found.process} has this pid now", remedy)
    elif listening and found.pid not in listening:
        yield error(subject, f"names {found.pid}, but process {listening[0]} listens: two were started", remedy)
    else:
        yield ok(subject, f"names process {found.pid}")
        subject, named = f"{name} configuration", re.search(r"-C ?(\S+)", found.command)
        used = [Path(named[1])] if named else [*_DEFAULT_FILES]
        if found.command and file.resolve() not in [one.resolve() for one in used]:
            text = f"it runs with {used[0]}, not with {file}"
            yield error(subject, text, f"name that file, or start it with -C{file}")
        elif file.stat().st_mtime > found.process.started + 1:  # the start is known to the second
            text = f"{file} has changed since the start: it runs with the earlier content"
            yield error(subject, text, "restart it")
        else:
            yield ok(subject, f"it runs with {file}")


def queue_run_findings(name: str, pid_file: str, queue: str) -> Iterator[Finding]:
    """Whether a process retries what waits in the queue; `queue` is the QueueDirectory."""
    found = read_pid_file(pid_file)
    finding = queue_run_finding(name, found.command if found else "", titles(), queue)
    yield finding.because(*_hidden(Path(pid_file)), no_sendmail(name))


def queue_run_finding(name: str, command: str, running: Sequence[str], queue: str) -> Finding:
    """A daemon started with -qTIME, or a queue runner whose title names the queue, as that of sendmail 8.17 does.

    `command` is the command line of the daemon, `running` the titles of all processes.
    """
    subject = f"{name} queue run"
    if own := re.search(r"\s-q(\S+)", command):
        return ok(subject, f"every {own[1].removeprefix('p')}")
    folder = re.escape(queue.removesuffix("*")) + ("" if queue.endswith("*") else r"(?![\w.-])")
    if any(re.search(rf"^sendmail: .*queue.* {folder}", title, re.IGNORECASE) for title in running):
        return ok(subject, "by a separate queue runner")
    text = "not found: what cannot be handed over at once stays in the queue until it is sent by hand"
    return warning(subject, text, "start it with -q5m, or start a queue runner")


def waiting_findings(name: str, queue: str, now: float, limit: float) -> Iterator[Finding]:
    """The messages in the queue; `now` in seconds since the epoch. A missing folder has its own finding.

    `limit` is the age of the oldest one above which it is a warning, in seconds.
    """
    try:
        depth = read_depth(queue)
        age = None if depth.oldest is None else now - depth.oldest
        found = faults.queue_waiting(name, depth.entries, age, limit)
        yield found.named(old_mail(name)).because(no_sendmail(name), no_sendmail("delivery"))
        lost = lost_files(queue)
    except FileNotFoundError:
        return
    except OSError as problem:
        text = f"{problem.filename} is not readable: {problem.strerror}; the number of waiting messages is unknown"
        yield warning(f"{name} queue", text, "run this command as root").because(*denied(problem))
        return
    if lost:  # accepted mail that no queue run retries
        text = f"sendmail could not read {len(lost)} messages, such as {lost[0]}, and does not retry them"
        remedy = 'mailq -qL lists them, and "Losing" in the mail log gives the reason; repair each and rename it to qf'
        yield error(f"{name} queue", text, remedy)
