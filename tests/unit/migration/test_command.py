"""`miltscan import`: its output, its files, and that it overwrites no file."""

from pathlib import Path

import pytest
from typer.testing import Result

from miltscan.cli import app
from tests.fakes.runner import CliRunner

CORPUS = Path(__file__).parents[2] / "corpus" / "migration"
IMSS = CORPUS / "imss" / "imss.ini"


def imported(*arguments: str | Path) -> Result:
    """The result of running the command."""
    return CliRunner().invoke(app, ["import", *map(str, arguments)], prog_name="miltscan")


def test_help_has_examples() -> None:
    """Each example of the help is on its own line."""
    assert "\n  Examples:\n    miltscan import" in imported("--help").stdout


def test_without_a_folder_it_prints_all_three() -> None:
    """The output has each file under its name, equal to the golden one."""
    expected = (CORPUS / "imss" / name for name in ("miltscan.toml", "site.m4", "differences.txt"))
    result = imported(IMSS)
    assert (result.exit_code, result.stdout) == (
        0,
        "\n".join(f"==> {file.name} <==\n{file.read_text()}" for file in expected),
    )


def test_with_a_folder_it_writes_and_names_them(tmp_path: Path) -> None:
    """A missing folder is made, and the paths are printed."""
    result = imported("--output", tmp_path / "a" / "b", IMSS)
    written = sorted((tmp_path / "a" / "b").iterdir())
    assert (result.exit_code, sorted(result.stdout.splitlines())) == (0, [str(file) for file in written])
    assert [file.name for file in written] == ["differences.txt", "miltscan.toml", "site.m4"]


@pytest.mark.parametrize("name", ["miltscan.toml", "site.m4", "differences.txt"])
def test_a_file_that_is_there_stays_and_nothing_else_is_written(name: str, tmp_path: Path) -> None:
    """An existing file, even a dangling link, is one line and status 2."""
    (tmp_path / name).symlink_to("nowhere")
    result = imported("-o", tmp_path, IMSS)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        (b"nothing that is known\n", []),
        (b"a\0b", ["--format", "imss.ini"]),
        (b"x" * (2**20 + 1), ["--format", "imss.ini"]),
        (b"[smtp]\n", ["--format", "other.ini"]),
        (None, []),
    ],
)
def test_bad_input_is_one_line_and_status_2(content: bytes | None, arguments: list[str], tmp_path: Path) -> None:
    """A file that is unknown, binary, too large or absent is one line and status 2."""
    file = tmp_path / "f"
    if content is not None:
        file.write_bytes(content)
    result = imported(file, *arguments)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_one_line_and_status_2(folder: str, tmp_path: Path) -> None:
    """A file in the place of the folder is one line and status 2."""
    (tmp_path / "file").touch()
    result = imported("-o", tmp_path / folder, IMSS)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


def test_the_format_can_be_named() -> None:
    """The option names the format if neither name nor text is known."""
    assert imported("--format", "intscan.ini", CORPUS / "imss" / "differences.txt").exit_code == 0
