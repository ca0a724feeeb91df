"""What `miltscan check` finds at clamd: what its servers do, and how they are set up."""

from pathlib import Path

import pytest

from miltscan.config.settings import Settings
from miltscan.core.address import InetAddress, UnixAddress
from miltscan.core.finding import Level
from miltscan.core.verdict import Fault
from miltscan.doctor import clamd_check, clamd_conf
from miltscan.scanning.servers import ServerRecord, ServerRecords
from tests.unit.doctor.found import DAY, NOW, bad, works


@pytest.mark.parametrize(
    ("seen", "others", "levels"),
    [
        (ServerRecord(up=True, canary=True, version=1, published=NOW - DAY), False, ["ok", "ok"]),
        (ServerRecord(up=True, canary=True, version=1, published=NOW - 3 * DAY), False, ["ok", "warning"]),
        (ServerRecord(up=True, canary=True), False, ["ok"]),
        (ServerRecord(up=True, canary=False), False, ["error"]),
        (ServerRecord(up=False, why="refused"), False, ["error"]),
        (ServerRecord(up=False, why="refused"), True, ["warning"]),
        (ServerRecord(), False, ["error"]),
    ],
)
def test_a_server_has_to_find_the_test_signature(seen: ServerRecord, levels: list[str], *, others: bool) -> None:
    """Down is an error while no other server is up; old signatures are a warning."""
    found = clamd_check.server_findings("unix:/run/a", seen, NOW, others=others)
    assert levels == [finding.level.value for finding in found]


def test_what_an_engine_tells_is_kept() -> None:
    """State, fault, canary and signatures, by server."""
    told = ServerRecords()
    works(Settings(), told)
    told.server_fault("clamd", "other", Fault.CONNECT, "refused")
    assert told.seen == {
        "unix:/run/clamav/clamd.ctl": ServerRecord(up=True, canary=True, version=27000, published=NOW),
        "other": ServerRecord(why="refused"),
    }


def test_limits_of_clamd_below_ours_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is the line to write and the file to write it in; an unreadable file is a warning, too."""
    file = tmp_path / "clamd.conf"
    monkeypatch.setattr(clamd_conf, "file_of", lambda _server: file)
    server = UnixAddress(str(tmp_path / "absent"))
    assert bad(clamd_check.clamd_settings(server, Settings())) == [("warning", f"clamd {server}")]
    file.write_text("MaxFileSize 1M\nAlertExceedsMax yes\nAlertEncrypted yes\nMaxScanTime 50000\n")
    (found,) = clamd_check.clamd_settings(server, Settings())
    assert found.remedy == f'write "MaxFileSize 100M" in {file}'
    file.write_text("AlertExceedsMax yes\nAlertEncrypted yes\nMaxScanTime 50000\n")
    assert bad(clamd_check.clamd_settings(server, Settings())) == []


def test_a_clamd_of_another_host_is_not_compared() -> None:
    """Its configuration file is not here."""
    (found,) = clamd_check.clamd_settings(InetAddress("clamd.example.test", 3310), Settings())
    assert (found.level, found.text) == (Level.OK, "its configuration file is not known and not compared")
