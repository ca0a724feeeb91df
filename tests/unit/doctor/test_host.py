"""Name, security modules, disks."""

from pathlib import Path

import pytest

from miltscan.core.finding import Level
from miltscan.doctor import host
from miltscan.doctor.clamd_access import access_finding
from tests.unit.doctor.support import bad, only

MIB = 2**20


@pytest.mark.parametrize(
    ("names", "level"),
    [(["mx.example.org"], Level.OK), (["mx", "mx", "mx.example.org"], Level.OK), (["mx", "localhost"], Level.ERROR)],
)
def test_a_name_with_a_dot(names: list[str], level: Level) -> None:
    """The host's own, its canonical name or an alias."""
    assert host.name_finding(names).level is level


def test_the_remedy_is_the_line_to_write() -> None:
    """In /etc/hosts."""
    assert '"127.0.1.1 mx.example.org mx"' in host.name_finding(["mx"]).remedy


@pytest.mark.parametrize(("uid", "level"), [(0, Level.OK), (1000, Level.WARNING)])
def test_who_looks(uid: int, level: Level) -> None:
    """Root sees everything."""
    assert host.user_finding(uid).level is level


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("", "not confined"),
        ("unconfined", "unconfined"),
        ("/usr/sbin/clamd (complain)", "/usr/sbin/clamd (complain)"),
        ("/usr/sbin/clamd (enforce)", "confined by profile /usr/sbin/clamd; see what it refuses: dmesg | grep DENIED"),
    ],
)
def test_apparmor_is_named(label: str, text: str) -> None:
    """A profile alone is no fault: whether clamd can read is proved."""
    finding = host.apparmor_finding("clamd", label)
    assert (finding.level, finding.text) == (Level.OK, text)


@pytest.mark.parametrize(
    ("why", "refused", "level", "words"),
    [
        ("", False, "", ""),
        ("", True, "warning", "each message is sent to it"),
        ("garbled: File path check failure: Permission denied. ERROR", False, "error", "Permission denied"),
    ],
)
def test_a_clamd_has_to_read_the_spool(why: str, level: str, words: str, *, refused: bool) -> None:
    """The remedy is the line for its AppArmor profile."""
    finding = access_finding("unix:/run/clamd", "/var/spool/miltscan", why, refused=refused)
    assert only([finding], level, words)
    assert finding.level is Level.OK or '"/var/spool/miltscan/** r,"' in finding.remedy


@pytest.mark.parametrize(
    ("enforcing", "silent", "words"),
    [(False, [19000], ""), (True, [], ""), (True, [19000], "enforces, and nobody listens on port 19000")],
)
def test_selinux_is_a_suspect_where_something_is_silent(silent: list[int], words: str, *, enforcing: bool) -> None:
    """It may have refused the port."""
    assert only([host.selinux_finding(enforcing, [25, 19000], silent)], "warning", words)


@pytest.mark.parametrize(("content", "words"), [("1\n", "enforces"), ("0\n", ""), (None, "")])
def test_selinux_is_read(content: str | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its own file system, which need not be there."""
    monkeypatch.setattr(host, "_SELINUX", tmp_path / "enforce")
    if content is not None:
        (tmp_path / "enforce").write_text(content)
    assert only(host.selinux_findings([25], [25]), "warning", words)


@pytest.mark.parametrize(
    ("free", "files", "level", "words"),
    [
        (1000 * MIB, None, "", ""),
        (1000 * MIB, 1000, "", ""),
        (999 * MIB, 5000, "warning", "less than ten messages"),
        (100 * MIB, 5000, "warning", "less than ten messages"),
        (100 * MIB - 1, 5000, "error", "less than one message"),
        (99 * MIB, 5000, "error", "less than one message of limits.message_size = 100MiB"),
        (1000 * MIB, 999, "error", "only 999 inodes free"),
    ],
)
def test_room(free: int, files: int | None, level: str, words: str) -> None:
    """For the largest message, and for files."""
    assert only([host.room_finding("queue", free, files, 100 * MIB)], level, words)


def test_room_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Nothing to say."""
    assert [*host.room_findings("queue", tmp_path / "absent", 1)] == []
    assert bad(host.room_findings("queue", tmp_path, 1)) == []
