"""Whether miltscan's user reads its key file."""

import os
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.finding import Level
from miltscan.doctor.key_access import key_finding, key_findings
from miltscan.doctor.rights import Identity


@pytest.mark.parametrize(
    ("mode", "uid", "gids", "level"),
    [
        (0o640, os.getuid(), {9999}, Level.OK),
        (0o640, 9998, {os.getgid()}, Level.OK),
        (0o600, 9998, {os.getgid()}, Level.ERROR),
        (0o640, 9998, {9999}, Level.ERROR),
    ],
)
def test_by_owner_or_group(tmp_path: Path, mode: int, uid: int, gids: set[int], level: Level) -> None:
    """As the kernel decides it."""
    file = tmp_path / "keys"
    file.touch()
    file.chmod(mode)
    finding = key_finding(str(file), file.stat(), Identity("miltscan", uid, frozenset(gids)))
    assert finding.level is level
    assert finding.remedy == ("" if level is Level.OK else f"chown miltscan {file}")


def test_it_is_the_owner_of_the_spool(tmp_path: Path) -> None:
    """Of whom the running service is, that folder tells; without a setting, or without a file, nothing is said."""
    (tmp_path / "keys").touch(0o600)
    ours = parse_settings(f"keys.file = '{tmp_path}/keys'\nspool.directory = '{tmp_path}'".encode(), "f")
    assert [finding.level for finding in key_findings(ours)] == [Level.OK]
    assert [*key_findings(Settings())] == []
    gone = parse_settings(f"keys.file = '{tmp_path}/absent'\nspool.directory = '{tmp_path}'".encode(), "f")
    assert [*key_findings(gone)] == []
