"""Whether a sendmail runs as its .cf file and its pid file say."""

import os
from dataclasses import replace
from errno import EACCES
from pathlib import Path

import pytest

from miltscan.config.thresholds import ThresholdSettings
from miltscan.core import faults
from miltscan.core.finding import Level
from miltscan.doctor import running
from miltscan.doctor.programs import RunningProgram
from miltscan.doctor.running import PidFile, pid_findings, queue_run_finding, read_pid_file
from tests.unit.doctor.support import DAY, NOW, bad, only

HALF_AN_HOUR = 1800.0
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
    ("found", "listening", "words"),
    [
        (PidFile("p", 7, "sendmail -bd -C {file}", SENDMAIL), [7, 8], ""),
        (PidFile("p", 7, "sendmail -bd -C{file}", SENDMAIL), [], ""),
        (PidFile("p", 7, "", SENDMAIL), [7], ""),
        (
            PidFile("p", 7, "sendmail -L sm-mta -bd -q10m", SENDMAIL),
            [7],
            "it runs with /etc/mail/sendmail.cf, not with",
        ),
        (None, [7], "is missing or not readable"),
        (PidFile("p", 7, "", None), [7], "is stale: process 7 does not exist"),
        (PidFile("p", 7, "", SHELL), [], "is stale: bash (pid 7) has this pid now"),
        (PidFile("p", 7, "", SENDMAIL), [9], "names 7, but process 9 listens: two were started"),
        (PidFile("p", 7, "sendmail -bd -C /etc/mail/b.cf", SENDMAIL), [7], "it runs with /etc/mail/b.cf, not with"),
        (PidFile("p", 7, "sendmail -bd -C/etc/mail/b.cf", SENDMAIL), [7], "it runs with /etc/mail/b.cf, not with"),
    ],
)
def test_pid_files(found: PidFile | None, listening: list[int], words: str, file: Path) -> None:
    """It must name a process that listens and runs with this .cf file; without -C that is sendmail's default."""
    found = found and replace(found, command=found.command.format(file=file))
    assert only(pid_findings("incoming", "p", found, listening, file), "error", words)


def test_a_sendmail_without_a_file_of_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If incoming is the host's own sendmail.cf, no -C is right."""
    monkeypatch.setattr(running, "_DEFAULT_FILES", (file.with_name("other.cf"), file))
    assert bad(pid_findings("incoming", "p", PidFile("p", 7, "sendmail -bd -q5m", SENDMAIL), [7], file)) == []


def test_a_file_that_changed_after_the_start(file: Path) -> None:
    """The running sendmail has the earlier content; a link to the file is the same file."""
    link = file.with_name("link.cf")
    link.symlink_to(file)
    found = PidFile("p", 7, f"sendmail -bd -C {link} -q5m", SENDMAIL)
    assert bad(pid_findings("incoming", "p", found, [7], file)) == []
    os.utime(file, (NOW + 60, NOW + 60))
    assert only(pid_findings("incoming", "p", found, [7], file), "error", "has changed since the start")


def test_reading_a_pid_file(tmp_path: Path) -> None:
    """A pid file has pid, command and process; garbage has pid 0 and no process."""
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
        ("sendmail -bd", ["sendmail: Queue runner@01:00:00 for /var/spool/mqueue"], "by a separate queue runner"),
        ("sendmail -bd", ["sendmail: incoming: running queue: /var/spool/mqueue"], "by a separate queue runner"),
        ("sendmail -bd", ["sendmail: Queue runner@01:00:00 for /var/spool/mqueuedelivery"], "not found"),
        ("sendmail -bd -q", [], "not found"),
        ("", ["less /var/spool/mqueue"], "not found"),
    ],
)
def test_queue_runs(command: str, titles: list[str], text: str) -> None:
    """The daemon itself or a separate queue runner of this queue retries; otherwise it is a warning."""
    finding = queue_run_finding("incoming", command, titles, "/var/spool/mqueue")
    assert finding.text.startswith(text)
    assert (finding.level is Level.OK) is (text != "not found")


@pytest.mark.parametrize(
    ("name", "entries", "oldest", "level", "text"),
    [
        ("incoming", 0, None, Level.OK, "no message waits"),
        ("incoming", 2, NOW - 1800, Level.OK, "waiting messages: 2, the oldest for 0.5 hours"),
        ("incoming", 2, NOW - 3600, Level.WARNING, "waiting messages: 2, the oldest for 1.0 hours"),
        ("delivery", 2, NOW - 5 * DAY, Level.OK, "waiting messages: 2, the oldest for 120.0 hours"),
        ("delivery", 2, NOW - 6 * DAY, Level.WARNING, "waiting messages: 2, the oldest for 144.0 hours"),
    ],
)
def test_old_mail_is_a_warning(name: str, entries: int, oldest: float | None, level: Level, text: str) -> None:
    """The incoming queue is old after half an hour, the delivery queue after sendmail returns its mail."""
    age = None if oldest is None else NOW - oldest
    finding = faults.queue_waiting(name, entries, age, ThresholdSettings().queue_age[name])
    assert (finding.level, finding.text) == (level, text)


def _file(path: Path, changed: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (changed, changed))


def test_messages_are_counted_in_every_queue_folder(tmp_path: Path) -> None:
    """Queue groups and folders of queue files are counted, too."""
    for name in ("q1/qfA", "q2/qf/qfB", "q2/dfB"):
        _file(tmp_path / name, NOW)
    (found,) = running.waiting_findings("incoming", f"{tmp_path}/q*", NOW, HALF_AN_HOUR)
    assert found.text == "waiting messages: 2, the oldest for 0.0 hours"


def test_a_message_waits_since_its_arrival(tmp_path: Path) -> None:
    """Each attempt writes the control file again, but not the data file."""
    _file(tmp_path / "dfA", NOW - 18000)
    _file(tmp_path / "qfA", NOW - 60)
    (found,) = running.waiting_findings("incoming", str(tmp_path), NOW, HALF_AN_HOUR)
    assert (found.level, found.text) == (Level.WARNING, "waiting messages: 1, the oldest for 5.0 hours")


def test_lost_messages_are_an_error(tmp_path: Path) -> None:
    """A lost message was accepted with 250, is not counted as waiting, and no queue run retries it."""
    for name in ("QfA", "dfA", "q1/QfB", "q1/dfB", "qfC", "dfC"):
        _file(tmp_path / name, NOW)
    findings = [*running.waiting_findings("incoming", str(tmp_path), NOW, HALF_AN_HOUR)]
    assert findings[0].text == "waiting messages: 1, the oldest for 0.0 hours"
    assert only(findings, "error", "sendmail could not read 2 messages, such as QfA")


def test_an_unreadable_queue_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreadable queue is not an empty one. Root can read every folder, so the error is simulated."""

    def closed(path: str) -> None:
        raise PermissionError(EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", closed)
    words = f"{tmp_path} is not readable: Permission denied; the number of waiting messages is unknown"
    assert only(running.waiting_findings("incoming", str(tmp_path), NOW, HALF_AN_HOUR), "warning", words)


def test_a_missing_queue_has_another_finding(tmp_path: Path) -> None:
    """The findings about owner and mode report a missing folder."""
    assert [*running.waiting_findings("incoming", str(tmp_path / "none"), NOW, HALF_AN_HOUR)] == []
