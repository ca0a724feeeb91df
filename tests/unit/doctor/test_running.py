"""Whether a sendmail runs as its files say."""

import os
from dataclasses import replace
from errno import EACCES
from pathlib import Path

import pytest

from miltscan.core.finding import Level
from miltscan.doctor import running
from miltscan.doctor.programs import RunningProgram
from miltscan.doctor.running import PidFile, pid_findings, queue_run, read_pid_file, waiting
from miltscan.sandwich.queues import Depth
from tests.unit.doctor.support import bad, only

NOW = 1_000_000_000.0
SENDMAIL = RunningProgram(7, "sendmail", "sendmail: accepting connections", NOW)
SHELL = RunningProgram(7, "bash", "bash", NOW)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A .cf file, older than the sendmail that runs with it."""
    path = tmp_path / "a.cf"
    path.touch()
    os.utime(path, (NOW - 60, NOW - 60))
    return path


@pytest.mark.parametrize(
    ("found", "holding", "words"),
    [
        (PidFile("p", 7, "sendmail -bd -C {file}", SENDMAIL), [7, 8], ""),
        (PidFile("p", 7, "sendmail -bd -C{file}", SENDMAIL), [], ""),
        (PidFile("p", 7, "", SENDMAIL), [7], ""),
        (
            PidFile("p", 7, "sendmail -L sm-mta -bd -q10m", SENDMAIL),
            [7],
            "it runs with /etc/mail/sendmail.cf, not with",
        ),
        (None, [7], "is not there or cannot be read"),
        (PidFile("p", 7, "", None), [7], "is stale: there is no process 7"),
        (PidFile("p", 7, "", SHELL), [], "is stale: that is bash (pid 7) now"),
        (PidFile("p", 7, "", SENDMAIL), [9], "names 7, but process 9 listens: two were started"),
        (PidFile("p", 7, "sendmail -bd -C /etc/mail/b.cf", SENDMAIL), [7], "it runs with /etc/mail/b.cf, not with"),
        (PidFile("p", 7, "sendmail -bd -C/etc/mail/b.cf", SENDMAIL), [7], "it runs with /etc/mail/b.cf, not with"),
    ],
)
def test_pid_files(found: PidFile | None, holding: list[int], words: str, file: Path) -> None:
    """It names the process that listens, which runs with this .cf file: without -C with sendmail's own."""
    found = found and replace(found, command=found.command.format(file=file))
    assert only(pid_findings("incoming", "p", found, holding, file), "error", words)


def test_a_sendmail_without_a_file_of_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where incoming is the host's sendmail.cf itself, no -C is right."""
    monkeypatch.setattr(running, "_BY_ITSELF", (file.with_name("other.cf"), file))
    assert bad(pid_findings("incoming", "p", PidFile("p", 7, "sendmail -bd -q5m", SENDMAIL), [7], file)) == []


def test_a_file_that_changed_after_the_start(file: Path) -> None:
    """What stands there is not what runs; a link to it is the same file."""
    link = file.with_name("link.cf")
    link.symlink_to(file)
    found = PidFile("p", 7, f"sendmail -bd -C {link} -q5m", SENDMAIL)
    assert bad(pid_findings("incoming", "p", found, [7], file)) == []
    os.utime(file, (NOW + 60, NOW + 60))
    assert only(pid_findings("incoming", "p", found, [7], file), "error", "has changed since the start")


def test_reading_a_pid_file(tmp_path: Path) -> None:
    """Pid, command, process; garbage is a pid of nobody."""
    path = tmp_path / "pid"
    assert read_pid_file(str(path)) is None
    path.write_text(f"{os.getpid()}\n/usr/sbin/sendmail -bd\n")
    found = read_pid_file(str(path))
    assert found is not None
    assert (found.pid, found.command) == (os.getpid(), "/usr/sbin/sendmail -bd")
    assert found.process is not None
    path.write_text("garbage")
    assert read_pid_file(str(path)) == PidFile(str(path), 0, "", None)


@pytest.mark.parametrize(
    ("command", "titles", "text"),
    [
        ("sendmail -bd -q5m", [], "every 5m"),
        ("sendmail -bd -qp1m", [], "every 1m"),
        ("sendmail -bd", ["sendmail: Queue runner@01:00:00 for /var/spool/mqueue"], "by a queue runner of its own"),
        ("sendmail -bd", ["sendmail: incoming: running queue: /var/spool/mqueue"], "by a queue runner of its own"),
        ("sendmail -bd", ["sendmail: Queue runner@01:00:00 for /var/spool/mqueuedelivery"], "none is seen"),
        ("sendmail -bd -q", [], "none is seen"),
        ("", ["less /var/spool/mqueue"], "none is seen"),
    ],
)
def test_queue_runs(command: str, titles: list[str], text: str) -> None:
    """By the daemon or beside it."""
    finding = queue_run("incoming", command, titles, "/var/spool/mqueue")
    assert finding.text.startswith(text)
    assert (finding.level is Level.OK) is (text != "none is seen")


@pytest.mark.parametrize(
    ("entries", "oldest", "level", "text"),
    [
        (0, None, Level.OK, "no message waits"),
        (2, NOW - 3600, Level.OK, "2 wait, the oldest for 1.0 h"),
        (2, NOW - 18000, Level.WARNING, "2 wait, the oldest for 5.0 h"),
    ],
)
def test_what_waits(entries: int, oldest: float | None, level: Level, text: str) -> None:
    """A while is normal, hours are not."""
    finding = waiting("incoming", Depth(entries, 0, oldest), NOW)
    assert (finding.level, finding.text) == (level, text)


def _file(path: Path, changed: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (changed, changed))


def test_messages_are_counted_in_every_queue_folder(tmp_path: Path) -> None:
    """Also where queue files have a folder of their own."""
    for name in ("q1/qfA", "q2/qf/qfB", "q2/dfB"):
        _file(tmp_path / name, NOW)
    (found,) = running.waiting_findings("incoming", f"{tmp_path}/q*", NOW)
    assert found.text == "2 wait, the oldest for 0.0 h"


def test_a_message_that_is_tried_again_and_again_has_waited_since_it_came(tmp_path: Path) -> None:
    """Each attempt writes its control file anew, never its data file."""
    _file(tmp_path / "dfA", NOW - 18000)
    _file(tmp_path / "qfA", NOW - 60)
    (found,) = running.waiting_findings("incoming", str(tmp_path), NOW)
    assert (found.level, found.text) == (Level.WARNING, "1 wait, the oldest for 5.0 h")


def test_what_sendmail_gave_up_is_told(tmp_path: Path) -> None:
    """It was answered with 250, is in no count of what waits, and no queue run tries it."""
    for name in ("QfA", "dfA", "q1/QfB", "q1/dfB", "qfC", "dfC"):
        _file(tmp_path / name, NOW)
    findings = [*running.waiting_findings("incoming", str(tmp_path), NOW)]
    assert findings[0].text == "1 wait, the oldest for 0.0 h"
    assert only(findings, "error", "2 out of the queue for good (QfA and the like)")


def test_a_queue_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line of its own: an empty queue and a closed one are not the same. Root may read all, so it is made up."""

    def closed(path: str) -> None:
        raise PermissionError(EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", closed)
    words = f"{tmp_path} cannot be read (Permission denied): whether mail waits there is not known"
    assert only(running.waiting_findings("incoming", str(tmp_path), NOW), "warning", words)


def test_a_queue_that_is_not_there_is_told_elsewhere(tmp_path: Path) -> None:
    """By the findings on its owner and mode."""
    assert [*running.waiting_findings("incoming", str(tmp_path / "none"), NOW)] == []
