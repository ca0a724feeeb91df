"""Whether the user of miltscan can read its key file."""

import os
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.finding import Level
from miltscan.doctor.rights import Identity, key_finding, key_findings


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
    """Owner, group and mode decide, as in the kernel."""
    file = tmp_path / "keys"
    file.touch()
    file.chmod(mode)
    finding = key_finding(str(file), file.stat(), Identity("miltscan", uid, frozenset(gids)))
    assert finding.level is level
    assert finding.remedy == ("" if level is Level.OK else f"run: chown miltscan {file}")


def test_it_is_the_owner_of_the_spool(tmp_path: Path) -> None:
    """The owner of the spool folder is the user of the service; without a key file there is no finding."""
    (tmp_path / "keys").touch(0o600)
    ours = parse_settings(f"keys.file = '{tmp_path}/keys'\nspool.directory = '{tmp_path}'".encode(), "f")
    assert [finding.level for finding in key_findings(ours)] == [Level.OK]
    assert [*key_findings(Settings())] == []
    gone = parse_settings(f"keys.file = '{tmp_path}/absent'\nspool.directory = '{tmp_path}'".encode(), "f")
    assert [*key_findings(gone)] == []
