"""`miltscan setup`: what it prints, when it asks, and its exit status. tests/unit/setup has the plan and its steps."""

import fcntl
import os
from pathlib import Path

import pytest
from typer.testing import Result

from miltscan.cli import app
from miltscan.commands import setup as command
from miltscan.core.finding import ok, warning
from miltscan.doctor.steps import Step
from tests.fakes.runner import CliRunner
from tests.harness.programs import CHECKOUT
from tests.unit.setup.support import FakeHost


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """A host in a folder, of which the command takes this process to be root; its doctor finds nothing."""
    host = FakeHost(tmp_path / "host")
    monkeypatch.setattr(command, "Disk", lambda: host.disk)
    monkeypatch.setattr(command, "run_program", host.run)
    monkeypatch.setattr(command, "is_root", lambda: True)
    monkeypatch.setattr(command, "_LOCK", tmp_path)
    monkeypatch.setattr(command, "probe_engines", lambda *_: None)
    monkeypatch.setattr(command, "_scanner_problem", lambda *_: "")
    monkeypatch.setattr(command, "postfix_finding", lambda *_: None)
    monkeypatch.setattr(command, "examine", lambda *_: [Step("host", (ok("host", "well"),))])
    return host


def setup(host: FakeHost, *options: str) -> Result:
    """A run of the command with the default settings."""
    config = host.root.parent / "miltscan.toml"
    config.touch()
    arguments = ["setup", "--config", str(config), "--files", str(CHECKOUT), *options]
    return CliRunner().invoke(app, arguments, prog_name="miltscan")


def test_only_root_may_set_up(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """For another user it is one line and status 2."""
    monkeypatch.setattr(command, "is_root", lambda: False)
    result = setup(host, "--yes")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "setup: changes the host: run it as root\n")


def test_without_a_terminal_it_changes_nothing(host: FakeHost) -> None:
    """It prints the plan, and the option without which it cannot go on."""
    before = host.state()
    result = setup(host)
    assert result.exit_code == 2
    assert result.stdout.startswith("Plan:\n  1. write /etc/clamav/clamd.conf\n     by Debian's settings")
    assert result.stderr.endswith("standard input is not a terminal: use --yes, or --dry-run\n")
    assert host.state() == before


def test_a_dry_run_shows_the_changes_of_files(host: FakeHost) -> None:
    """Short files as a diff, long new ones by their number of lines; nothing changes."""
    before = host.state()
    result = setup(host, "--dry-run")
    assert result.exit_code == 0
    assert "     +AlertExceedsMax yes\n" in result.stdout
    assert "     +postmaster: root\n" in result.stdout
    assert "Both sendmails are built from /etc/mail/site.m4." in result.stdout
    assert host.state() == before


def test_a_setup_and_its_undo(host: FakeHost) -> None:
    """A setup ends with doctor; the next one has nothing to change; an undo restores, and the next one has no work."""
    before = host.state()
    first, second, undone, nothing = (setup(host, *one, "--yes") for one in ([], [], ["--undo"], ["--undo"]))
    assert first.stdout.endswith("doctor --send:\neverything is ok\n"), first.stderr
    assert second.stdout == "Nothing to change: the host is set up.\ndoctor --send:\neverything is ok\n"
    assert undone.stdout.endswith("The host is as it was before setup.\n")
    assert nothing.stdout == "nothing to undo: setup has changed nothing on this host\n"
    assert {one.exit_code for one in (first, second, undone, nothing)} == {0}
    assert host.state() == before


def test_the_status_is_that_of_doctor(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be repaired after a setup is shown."""
    monkeypatch.setattr(command, "examine", lambda *_: [Step("host", (warning("host", "is ill", "heal it"),))])
    result = setup(host, "--yes")
    assert result.exit_code == 1
    assert "host: is ill; heal it" in result.stdout


def test_mail_in_the_delivery_queue_is_named(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """An undo that leaves mail has status 1, the number, and the command that delivers it."""
    monkeypatch.setattr("miltscan.setup.undo._HANDOVER_PATIENCE", 0.0)
    monkeypatch.setattr("miltscan.setup.perform.time.sleep", lambda _: None)
    setup(host, "--yes")
    (host.root / "var/spool/mqueuedelivery/qf6ATGJl4T007460").touch()
    result = setup(host, "--undo", "--yes")
    assert result.exit_code == 1
    *_, left, remedy = result.stdout.splitlines()
    assert left == "Messages that wait in /var/spool/mqueuedelivery, and that no process delivers now: 1."
    assert remedy.startswith("Deliver them with: sendmail -C /etc/mail/delivery.cf -q; then")


def test_two_at_once_are_refused(host: FakeHost) -> None:
    """The second one is one line."""
    lock = os.open(host.root.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    result = setup(host, "--yes")
    os.close(lock)
    assert (result.exit_code, result.stderr) == (1, "setup: another setup is running: wait until it has ended\n")


def test_a_host_with_postfix(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup knows only sendmail, and must not advise to install it there."""
    monkeypatch.setattr(command, "postfix_finding", lambda *_: ok("main.cf", "postfix"))
    result = setup(host, "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("docs/postfix.md\n")
