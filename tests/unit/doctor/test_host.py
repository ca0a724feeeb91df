"""The host below the sendmails: name, security modules and disks."""

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
    """The kernel's name, the canonical name or an alias may have the dot."""
    assert host.name_finding(names).level is level


def test_the_remedy_is_the_line_to_write() -> None:
    """The remedy names the line for /etc/hosts."""
    assert '"127.0.1.1 mx.example.org mx"' in host.name_finding(["mx"]).remedy


@pytest.mark.parametrize(("uid", "level"), [(0, Level.OK), (1000, Level.WARNING)])
def test_who_looks(uid: int, level: Level) -> None:
    """Any other user than root is a warning."""
    assert host.user_finding(uid).level is level


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("", "not confined"),
        ("unconfined", "unconfined"),
        ("/usr/sbin/clamd (complain)", "/usr/sbin/clamd (complain)"),
        ("/usr/sbin/clamd (enforce)", "confined by profile /usr/sbin/clamd; dmesg | grep DENIED shows what it refuses"),
    ],
)
def test_apparmor_is_named(label: str, text: str) -> None:
    """A profile alone is not a fault: another finding tests what clamd can read."""
    finding = host.apparmor_finding("clamd", label)
    assert (finding.level, finding.text) == (Level.OK, text)


@pytest.mark.parametrize(
    ("why", "refused", "level", "words"),
    [
        ("", False, "", ""),
        ("", True, "warning", "miltscan sends it each message"),
        ("garbled: File path check failure: Permission denied. ERROR", False, "error", "Permission denied"),
    ],
)
def test_a_clamd_has_to_read_the_spool(why: str, level: str, words: str, *, refused: bool) -> None:
    """The remedy has the line for clamd's AppArmor profile."""
    finding = access_finding("clamd unix:/run/clamd", "/var/spool/miltscan", why, refused=refused)
    assert only([finding], level, words)
    assert finding.level is Level.OK or '"/var/spool/miltscan/** r,"' in finding.remedy


@pytest.mark.parametrize(
    ("content", "silent", "words"),
    [
        ("1\n", [19000], "enforces, and no process listens on port 19000"),
        ("1\n", [], ""),
        ("0\n", [19000], ""),
        (None, [19000], ""),
    ],
)
def test_selinux_may_refuse_a_port(
    content: str | None, silent: list[int], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An enforcing SELinux is a warning if a port is silent; SELinux has a file system of its own, or is absent."""
    monkeypatch.setattr(host, "_SELINUX", tmp_path / "enforce")
    if content is not None:
        (tmp_path / "enforce").write_text(content)
    assert only(host.selinux_findings([25, 19000], silent), "warning", words)


@pytest.mark.parametrize(
    ("free", "files", "level", "words"),
    [
        (1000 * MIB, None, "", ""),
        (1000 * MIB, 1000, "", ""),
        (999 * MIB, 5000, "warning", "less than 10 messages"),
        (100 * MIB, 5000, "warning", "less than 10 messages"),
        (100 * MIB - 1, 5000, "error", "less than one message"),
        (99 * MIB, 5000, "error", "less than one message of limits.message_size = 100MiB"),
        (1000 * MIB, 999, "error", "only 999 inodes free"),
    ],
)
def test_room(free: int, files: int | None, level: str, words: str) -> None:
    """A queue needs room for ten messages of the largest size, and inodes."""
    assert only(
        [host.room_finding("queue", free, 100 * MIB, messages=10, remedy="free some", inodes=files)], level, words
    )


def test_the_room_of_a_missing_folder(tmp_path: Path) -> None:
    """A missing folder has no finding here, and the folder of this test has room."""
    assert [*host.queue_room_findings("queue", tmp_path / "absent", 1)] == []
    assert bad(host.queue_room_findings("queue", tmp_path, 1)) == []
