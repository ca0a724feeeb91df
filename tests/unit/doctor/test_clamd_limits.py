"""Where the configuration of a clamd is below miltscan's settings."""

import shutil
from pathlib import Path

import pytest

from miltscan.config.engines import EngineTable
from miltscan.config.settings import Settings
from miltscan.doctor import clamd_limits
from miltscan.doctor.clamd_limits import Mismatch
from miltscan.engines.clamd.local import effective_options

GOOD = """
StreamMaxLength 100M
MaxFileSize 100M
MaxScanSize 400M
MaxScanTime 50000
MaxThreads 20
AlertExceedsMax yes
AlertEncrypted true
"""


@pytest.fixture
def no_clamconf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without clamconf."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)


def written(folder: Path, text: str) -> Path:
    """A configuration file with another name than the usual one."""
    file = folder / "scan.conf"
    file.write_text(text)
    return file


def mismatches(folder: Path, text: str, engine: EngineTable | None = None) -> list[Mismatch]:
    """The mismatches between a configuration and miltscan's default limits."""
    options = effective_options(written(folder, text))
    return [*clamd_limits.mismatches(options, engine or Settings().engines[0], Settings())]


def test_a_matching_configuration_has_no_mismatch(tmp_path: Path) -> None:
    """A clamd that is set up for miltscan's defaults has none."""
    assert mismatches(tmp_path, GOOD) == []


@pytest.mark.usefixtures("no_clamconf")
@pytest.mark.parametrize(
    ("line", "key", "wanted"),
    [
        ("StreamMaxLength 25M", "StreamMaxLength", "StreamMaxLength 100M"),
        ("MaxFileSize 26214400", "MaxFileSize", "MaxFileSize 100M"),
        ("MaxScanSize 50000K", "MaxScanSize", "MaxScanSize 100M"),
        ("MaxScanTime 120000", "MaxScanTime", "MaxScanTime 54000"),
        ("MaxScanTime 0", "MaxScanTime", "MaxScanTime 54000"),
        ("AlertExceedsMax no", "AlertExceedsMax", "AlertExceedsMax yes"),
        ("AlertEncrypted false", "AlertEncrypted", "AlertEncrypted yes"),
        ("HeuristicScanPrecedence yes", "HeuristicScanPrecedence", "HeuristicScanPrecedence no"),
        ("MaxThreads 9", "MaxThreads", "MaxThreads 10"),
        ("MaxQueue 79", "MaxQueue", "MaxQueue 80"),
    ],
)
def test_each_mismatch_has_the_line_that_corrects_it(line: str, key: str, wanted: str, tmp_path: Path) -> None:
    """One option below the settings is one mismatch, and with its line there is none."""
    (found,) = mismatches(tmp_path, f"{line}\n{GOOD}")
    assert found.silent == key.startswith("Alert")
    assert (found.key, found.line) == (key, wanted)
    assert mismatches(tmp_path, f"{found.line}\n{GOOD}") == []


def test_a_file_in_a_zip_may_be_larger_than_clamd_scans(tmp_path: Path) -> None:
    """It says OK of such a zip, so miltscan must know the limit: by mime.file_size."""
    skipping = Settings().engines[0].model_copy(update={"skip_above": 25 * 2**20})
    (found,) = mismatches(tmp_path, f"MaxFileSize 25M\n{GOOD}", skipping)
    assert (found.key, found.line, found.silent) == ("MaxFileSize", "MaxFileSize 100M", True)


def test_limits_of_the_engine_count_if_they_are_lower(tmp_path: Path) -> None:
    """An engine that skips large messages, or has a shorter timeout, needs less."""
    skipping = Settings().engines[0].model_copy(update={"skip_above": 25 * 2**20})
    assert [one.key for one in mismatches(tmp_path, f"StreamMaxLength 25M\n{GOOD}", skipping)] == []
    hasty = Settings().engines[0].model_copy(update={"timeout": 40.0})
    (found,) = mismatches(tmp_path, GOOD, hasty)
    assert (found.key, found.line) == ("MaxScanTime", "MaxScanTime 36000")


def test_zero_is_no_limit(tmp_path: Path) -> None:
    """By clamd.conf(5) a size of 0 disables the limit."""
    for line in ("MaxFileSize 0", "StreamMaxLength 0", "MaxScanSize 0"):
        assert mismatches(tmp_path, f"{line}\n{GOOD}") == [], line


def test_the_clamd_configuration_in_deploy_has_no_mismatch(tmp_path: Path) -> None:
    """deploy/clamav/clamd.conf is made for the defaults."""
    assert mismatches(tmp_path, (Path(__file__).parents[3] / "deploy" / "clamav" / "clamd.conf").read_text()) == []
