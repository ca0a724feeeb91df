"""The benchmark's commands: each has help with an example, and rejects invalid options in one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import breakdown, growth, quick
from tests.bench.filters import BASELINE
from tests.bench.measure import Series
from tests.harness.programs import MissingProgramError
from tests.unit.bench.support import series

COMMANDS = {
    "tests.bench": bench.main,
    "tests.bench.quick": quick.main,
    "tests.bench.growth": growth.main,
    "tests.bench.breakdown": breakdown.main,
}


@pytest.mark.parametrize(("name", "command"), COMMANDS.items())
def test_help_has_an_example(
    name: str, command: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The help has an example that can be copied."""
    with pytest.raises(SystemExit) as ended:
        command(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"    python -m {name} --rounds" in shown


@pytest.mark.parametrize(
    ("command", "rounds"),
    [
        (bench.main, "4"),
        (quick.main, "2"),
        *((command, text) for command in COMMANDS.values() for text in ("0", "-1", "many")),
    ],
)
def test_too_few_rounds(command: Callable[[list[str]], int], rounds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Too few rounds are rejected before anything is started, because they have no spread."""
    with pytest.raises(SystemExit) as ended:
        command(["--rounds", rounds])
    assert ended.value.code == 2
    assert "--rounds" in capsys.readouterr().err.splitlines()[-1]


def measured(monkeypatch: pytest.MonkeyPatch, *found: Series) -> None:
    """Let bench-quick measure this."""
    monkeypatch.setattr(quick, "run", lambda _rounds, _against: list(found))


@pytest.mark.parametrize(("values", "missed"), [([1.1, 1, 1.1], 0), ([1.2, 1, 1.3], 0), ([1.2, 1.2, 1.2], 1)])
def test_the_status_is_that_of_the_targets(
    values: list[float], missed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is 1 only when a target is missed by more than the noise; the last line has the number."""
    met = tuple(replace(one, rate=2, p99=1) for one in series("", values).rounds)
    ours = replace(series("miltscan", values), rounds=met)
    measured(monkeypatch, ours, series("clamav-milter", [1, 1, 1]))
    assert quick.main([]) == missed
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"bench-quick: {missed} of 3 targets missed by more than the noise"


@pytest.mark.parametrize(("values", "worse"), [([1, 1, 1], 0), ([0.9, 1.05, 1.2], 0), ([1.04, 1.05, 1.06], 2)])
def test_the_status_is_that_of_the_comparison(
    values: list[float],
    worse: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """With --against, CPU time and p99 that are higher by more than the noise give the exit status 1."""
    program = tmp_path / ".venv" / "bin" / "miltscan"
    program.parent.mkdir(parents=True)
    program.touch()
    measured(monkeypatch, series("miltscan", values), series(BASELINE, [1, 1, 1]))
    assert quick.main(["--against", str(tmp_path)]) == min(worse, 1)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"bench-quick: {worse} of 3 ratios worse than {tmp_path} by more than the noise"


def test_another_checkout_needs_its_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a virtual environment is refused before anything is started."""
    with pytest.raises(SystemExit) as ended:
        quick.main(["--against", str(tmp_path)])
    assert ended.value.code == 2
    assert "Run `make environment` in it" in capsys.readouterr().err.splitlines()[-1]


def test_a_missing_program_is_no_failed_target(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing program gives its own exit status and one line."""

    def missing(_rounds: int, _against: Path | None) -> None:
        raise MissingProgramError("no program clamav-milter")

    monkeypatch.setattr(quick, "run", missing)
    assert quick.main([]) == 3
    assert capsys.readouterr().err == "bench-quick: not measured: no program clamav-milter\n"
