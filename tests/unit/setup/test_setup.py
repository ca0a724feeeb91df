"""A setup of a whole host, its repetition, its interruption, and its undo: in a root folder, with fake programs."""

from contextlib import suppress
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.errors import SetupError
from miltscan.setup import undo
from miltscan.setup.facts import find_installation
from tests.harness.programs import CHECKOUT
from tests.unit.setup.support import FakeHost, KilledError


def test_the_order_of_the_steps(tmp_path: Path) -> None:
    """The distribution's sendmail serves until clamd, delivery and miltscan run; then incoming starts."""
    host = FakeHost(tmp_path)
    host.setup()
    started = [call.removeprefix("systemctl ") for call in host.calls if call.startswith("systemctl ")]
    assert started == [
        "daemon-reload",
        "restart clamav-daemon.socket clamav-daemon.service",
        "enable --now miltscan.socket",
        "restart miltscan-delivery.service miltscan-queue@delivery.service",
        "start miltscan.service",
        "mask --now sendmail.service",
        "restart miltscan-incoming.service miltscan-queue@incoming.service",
        "enable --now miltscan-sandwich.target",
    ]


def test_what_setup_writes(tmp_path: Path) -> None:
    """The alias and its table, clamd's options, the size of miltscan.toml, and both .cf files."""
    host = FakeHost(tmp_path)
    host.setup(parse_settings(b'[limits]\nmessage_size = "10MiB"\n', "f"))
    text = {path.name: path.read_text() for path in (tmp_path / "etc").rglob("*") if path.is_file()}
    assert text["aliases"] == "root: admin\npostmaster: root\n"
    assert text["aliases.db"] == "table of root: admin\npostmaster: root\n"
    assert "AlertExceedsMax yes" in text["clamd.conf"].splitlines()
    assert "define(`SITE_MESSAGE_SIZE', `10485760')dnl" in text["site.m4"]
    assert "incoming" in text["incoming.cf"]
    assert (tmp_path / "var/lib/miltscan-setup").stat().st_mode & 0o777 == 0o700


def test_a_second_setup_changes_nothing(tmp_path: Path) -> None:
    """The second plan is empty, although a .cf file names the time at which it was built."""
    host = FakeHost(tmp_path)
    host.setup()
    assert host.planned() == []


def test_a_setup_can_be_undone(tmp_path: Path) -> None:
    """Content, mode and time of each file, the folders of /etc, and the units are as before."""
    host = FakeHost(tmp_path)
    (tmp_path / "etc/mail/aliases").chmod(0o640)
    before = host.state()
    host.setup()
    assert host.state() != before
    assert host.undo()
    assert host.state() == before


def test_a_killed_setup_can_be_undone_or_repeated(tmp_path: Path) -> None:
    """After kill -9 before any change, an undo restores the host, and a repetition completes the setup."""
    complete = FakeHost(tmp_path / "complete")
    complete.setup()
    expected = [*complete.units.items()], {path for path in complete.state() if "miltscan-setup" not in path}
    for number in range(1, complete.changes + 1):
        host = FakeHost(tmp_path / str(number))
        before = host.state()
        host.kill_at = number
        with pytest.raises(KilledError):
            host.setup()
        assert host.undo(), number
        assert host.state() == before, number
        host.changes = 0
        with suppress(KilledError):  # folders that an undo leaves are not made again: fewer changes
            host.setup()
        host.setup()
        assert {path for path in host.state() if "miltscan-setup" not in path} == expected[1], number
        assert {name: unit[:2] for name, unit in host.units.items()} == {name: unit[:2] for name, unit in expected[0]}


def test_a_repeated_setup_restarts_what_reads_a_changed_file(tmp_path: Path) -> None:
    """A file that was written before the kill is no longer in the plan; the clamd that has not read it is."""
    host = FakeHost(tmp_path)
    host.fails = "daemon-reload"
    with pytest.raises(SetupError):
        host.setup()
    planned = [one.title for one in host.planned()]
    assert "write /etc/clamav/clamd.conf" not in planned
    assert "run systemctl restart clamav-daemon.socket clamav-daemon.service" in planned


def test_a_new_local_domain_restarts_both_sendmails(tmp_path: Path) -> None:
    """They read local-host-names only when they start."""
    host = FakeHost(tmp_path)
    host.setup()
    (tmp_path / "etc/mail/local-host-names").write_text("example.test\n")
    assert [one.title.partition(".")[0] for one in host.planned()][1:] == [
        "run systemctl restart miltscan-delivery",
        "run systemctl restart miltscan-incoming",
    ]


def test_a_killed_undo_can_be_repeated(tmp_path: Path) -> None:
    """After kill -9 before any change of an undo, a second one completes it."""
    for number in range(1, 40):
        host = FakeHost(tmp_path / str(number))
        before = host.state()
        host.setup()
        host.changes, host.kill_at = 0, number
        try:
            host.undo()
        except KilledError:
            assert host.undo(), number
        else:
            assert number > 10
            break
        assert host.state() == before, number


def test_a_file_that_was_changed_since_stays(tmp_path: Path) -> None:
    """Undo names it, leaves it alone, keeps the former one next to it, and restores the rest."""
    host = FakeHost(tmp_path)
    former = (tmp_path / "etc/clamav/clamd.conf").read_text()
    host.setup()
    changed = tmp_path / "etc/clamav/clamd.conf"
    changed.write_text("MaxThreads 99\n")
    (tmp_path / "etc/mail/incoming.cf").write_text("mine")
    assert host.undo()
    assert changed.read_text() == "MaxThreads 99\n"
    assert changed.with_name("clamd.conf.before-setup").read_text() == former
    assert (tmp_path / "etc/mail/incoming.cf").read_text() == "mine"
    assert not (tmp_path / "etc/mail/delivery.cf").exists()
    assert [line.split()[0] for line in host.said if "changed since" in line] == [
        "/etc/mail/incoming.cf",
        "/etc/clamav/clamd.conf",
    ]


def test_an_alias_of_a_person_stays(tmp_path: Path) -> None:
    """Of a changed table of aliases undo removes only its own line."""
    host = FakeHost(tmp_path)
    host.setup()
    table = tmp_path / "etc/mail/aliases"
    table.write_text(table.read_text() + "sales: joe\n")
    assert host.undo()
    assert table.read_text() == "root: admin\nsales: joe\n"
    assert (tmp_path / "etc/mail/aliases.db").read_text() == "table of root: admin\nsales: joe\n"


def test_mail_in_the_delivery_queue_keeps_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo runs the queue; what remains keeps delivery.cf, until a second undo finds the queue empty."""
    monkeypatch.setattr(undo, "_HANDOVER_PATIENCE", 0.0)
    host = FakeHost(tmp_path)
    before = host.state()
    host.setup()
    mail = tmp_path / "var/spool/mqueuedelivery/qf6ATGJl4T007460"
    mail.touch()
    assert not host.undo()
    assert any("sendmail -C /etc/mail/delivery.cf -q" in call for call in host.calls)
    assert (tmp_path / "etc/mail/delivery.cf").exists()
    assert not (tmp_path / "etc/mail/incoming.cf").exists()
    mail.unlink()
    assert host.undo()
    assert host.state() == before


def test_incoming_stops_before_the_former_sendmail_starts(tmp_path: Path) -> None:
    """Both use port 25; delivery and miltscan stop only then."""
    host = FakeHost(tmp_path)
    host.setup()
    host.calls.clear()
    host.undo()
    assert [call.removeprefix("systemctl ").split(".")[0] for call in host.calls[:5]] == [
        "stop miltscan-incoming",
        "unmask sendmail",
        "start sendmail",
        "timeout 60 /usr/sbin/sendmail -C /etc/mail/delivery",
        "stop miltscan-sandwich",
    ]


def test_a_failing_step_is_one_line(tmp_path: Path) -> None:
    """It names the step, the reason, what to do and what is done; the distribution's sendmail still runs."""
    host = FakeHost(tmp_path)
    host.fails = "start miltscan.service"
    with pytest.raises(SetupError) as failed:
        host.setup()
    text = str(failed.value)
    assert text.endswith("Repair it and run `miltscan setup` again, which goes on; steps 1 to 16 of 20 are done"), text
    assert "run systemctl start miltscan.service: See journalctl." in text
    assert "\n" not in text
    assert host.units["sendmail.service"][:2] == ["enabled", True]


def test_a_mistake_in_site_m4_changes_nothing(tmp_path: Path) -> None:
    """The error of m4 is one line, before the plan."""
    host = FakeHost(tmp_path)
    (tmp_path / "etc/mail/site.m4").write_text("broken")
    with pytest.raises(SetupError, match=r"built: m4:site.m4:1: end of file in string. Correct /etc/mail/site.m4"):
        host.setup()
    assert host.changes == 0


def test_a_changed_site_m4_is_used(tmp_path: Path) -> None:
    """Setup keeps a site.m4 that a person has edited, builds both files again and restarts both sendmails."""
    host = FakeHost(tmp_path)
    host.setup()
    site = tmp_path / "etc/mail/site.m4"
    site.write_text(site.read_text() + "define(`SITE_LISTEN', `192.0.2.1')dnl\n")
    planned = [one.title for one in host.planned()]
    assert planned == [
        "write /etc/mail/delivery.cf",
        "write /etc/mail/incoming.cf",
        "wait until clamd has signatures and passes its self-test",
        "run systemctl restart miltscan-delivery.service miltscan-queue@delivery.service",
        "run systemctl restart miltscan-incoming.service miltscan-queue@incoming.service",
    ]


def test_a_sendmail_mc_of_a_person_is_used(tmp_path: Path) -> None:
    """Then the files are built from it, and no site.m4 is written."""
    host = FakeHost(tmp_path)
    own = tmp_path / "etc/mail/sendmail.mc"
    own.write_text(own.read_text() + "MASQUERADE_AS(`example.org')dnl\n")
    host.setup()
    assert (tmp_path / "etc/mail/incoming.cf").read_text().endswith(str(own))
    assert not (tmp_path / "etc/mail/site.m4").exists()


def test_the_files_of_the_installation(tmp_path: Path) -> None:
    """A folder without them is an error with the remedy; the checkout has them."""
    assert find_installation(CHECKOUT).sendmail == CHECKOUT / "sendmail"
    with pytest.raises(SetupError, match=r"name the clone with --files FOLDER"):
        find_installation(tmp_path)
