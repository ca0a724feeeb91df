"""The benchmark's commands: each explains itself with an example, and refuses what makes no sense in one line."""

from collections.abc import Callable

import pytest

from tests.bench import __main__ as bench
from tests.bench import growth, quick
from tests.harness.programs import MissingProgramError

COMMANDS = {"tests.bench": bench.main, "tests.bench.quick": quick.main, "tests.bench.growth": growth.main}


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


def test_a_missing_program_is_no_failed_target(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A status of its own and one line."""

    def missing(_rounds: int) -> None:
        raise MissingProgramError("no program clamav-milter")

    monkeypatch.setattr(quick, "run", missing)
    assert quick.main([]) == 3
    assert capsys.readouterr().err == "bench-quick: not measured: no program clamav-milter\n"
