"""`quarantine rescan`: which entries it scans, what it prints, and its exit status."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from miltscan.cli import app
from miltscan.core.verdict import Verdict
from miltscan.quarantine.files import Files
from tests.fakes.entries import NOW, put
from tests.fakes.runner import CliRunner
from tests.unit.quarantine.test_rescan import CLEAN, DOWN, LIMITED, OTHER, SAME, ScriptedScanner

Run = Callable[..., Result]


class Scanner(ScriptedScanner):
    """The scanner of the command, with the verdict of the test."""

    def look(self) -> list[int]:
        """The engines are up."""
        return [27001]

    def down(self) -> list[str]:
        """No server is down unless the verdict says so."""
        return ["clamd unix:/x: connect"] if self.verdict is DOWN else []


@pytest.fixture
def rescan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command; every scan has the verdict that is given."""
    file = tmp_path / "f.toml"
    file.write_text(f'spool.directory = "{tmp_path}"\nquarantine.directory = "{tmp_path}/quarantine"\n')

    def run(verdict: Verdict, *arguments: str, command: str = "rescan") -> Result:
        monkeypatch.setattr("miltscan.commands.quarantine_rescan.Rescanner", lambda _settings: Scanner(verdict))
        return CliRunner().invoke(app, ["quarantine", command, *arguments, "--config", str(file)])

    return run


@pytest.mark.parametrize(
    ("verdict", "status", "line"),
    [
        (CLEAN, 0, "cleared: clean, before Heuristics.Phishing.Email"),
        (SAME, 0, "detected: Heuristics.Phishing.Email"),
        (OTHER, 0, "renamed: Other.Name, before Heuristics.Phishing.Email"),
        (LIMITED, 1, "unscanned: limits, before Heuristics.Phishing.Email"),
    ],
)
def test_a_result(rescan: Run, tmp_path: Path, verdict: Verdict, status: int, line: str) -> None:
    """What was found now and before, and the number of each result."""
    entry_id = put(Files(tmp_path / "quarantine")).id
    result = rescan(verdict)
    word = line.partition(":")[0]
    assert (result.exit_code, result.stdout) == (status, f"{entry_id}  {line}\nscanned 1 entry: 1 {word}\n")
    (printed,) = map(json.loads, rescan(verdict, "--json", entry_id).stdout.splitlines())
    assert (printed["id"], printed["result"]) == (entry_id, word if verdict is not OTHER else "detected")


def test_a_cleared_entry_is_listed_as_such(rescan: Run, tmp_path: Path) -> None:
    """And released without a reason."""
    entry_id = put(Files(tmp_path / "quarantine")).id
    rescan(CLEAN)
    assert rescan(CLEAN, "--state", "cleared", "--ids", command="list").stdout == f"{entry_id}\n"
    assert rescan(CLEAN, entry_id, command="show").stdout.endswith(f"  miltscan quarantine release {entry_id}\n")


def test_some_entries(rescan: Run, tmp_path: Path) -> None:
    """By ID or by filter, not by both; one that does not exist is status 1, and the others are scanned."""
    files = Files(tmp_path / "quarantine")
    first, second = put(files).id, put(files, time=NOW + 1, area="macros").id
    assert rescan(SAME, "--area", "macros").stdout.split()[0] == second
    missing = rescan(SAME, first, "zz")
    assert (missing.exit_code, missing.stdout.split()[0], len(missing.stderr.splitlines())) == (1, first, 1)
    assert rescan(SAME, first, "--area", "macros").exit_code == 2
    assert (rescan(SAME, "--area", "none").exit_code, rescan(SAME, "--area", "none").stderr) == (
        1,
        "no entry matches\n",
    )


def test_without_an_engine_nothing_is_scanned(rescan: Run, tmp_path: Path) -> None:
    """The first entry shows it; the line says why."""
    for number in range(3):
        put(Files(tmp_path / "quarantine"), time=NOW + number)
    result = rescan(DOWN)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "clamd unix:/x: connect; miltscan check shows the remedy\n"
