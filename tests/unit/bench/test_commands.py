"""The benchmark's commands: each explains itself with an example, and refuses what makes no sense in one line."""

from collections.abc import Callable

import pytest

from tests.bench import __main__ as bench
from tests.bench import breakdown, growth, quick
from tests.bench.figures import Ratio
from tests.bench.targets import Judgement, Target
from tests.harness.programs import MissingProgramError
from tests.unit.bench.support import SMALL

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
    """A line that can be copied, and every option with what it does."""
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
    """There is no spread of few rounds: said before anything is started."""
    with pytest.raises(SystemExit) as ended:
        command(["--rounds", rounds])
    assert ended.value.code == 2
    assert "--rounds" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(("value", "status"), [(0.6, 0), (0.7, 0), (0.8, 1)])
def test_the_status_is_that_of_the_targets(
    value: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """1 only when one is missed by more than the noise, and the last line says how many."""
    judgement = Judgement(Target("cpu", SMALL.sizes, 0.6), SMALL, Ratio(value, 0.1))
    monkeypatch.setattr(quick, "run", lambda _rounds: [judgement])
    assert quick.main([]) == status
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"bench-quick: {status} of 1 targets missed by more than the noise"


def test_a_missing_program_is_no_failed_target(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A status of its own and one line."""

    def missing(_rounds: int) -> None:
        raise MissingProgramError("no program clamav-milter")

    monkeypatch.setattr(quick, "run", missing)
    assert quick.main([]) == 3
    assert capsys.readouterr().err == "bench-quick: not measured: no program clamav-milter\n"
