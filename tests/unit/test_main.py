"""The program: the service starts without the command line's library, and all else goes there."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from miltscan import __main__ as program
from miltscan import cli
from miltscan.config.settings import Settings
from miltscan.errors import StartError

NOT_FOR_MAIL = (
    *("pydantic", "pydantic_core", "typer", "rich", "h11", "bcrypt", "opentelemetry"),
    *("miltscan.cli", "miltscan.exporter.service", "miltscan.daemon.tracer", "miltscan.daemon.prober"),
)
"""What neither a worker nor what it is forked from has to know; some of it belongs to one process alone."""


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> object:
    """The exit status of the program with these arguments."""
    monkeypatch.setattr(sys, "argv", ["miltscan", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        program.main()
    return caught.value.code


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Path | None]]:
    """What a service in place of the real one was called with; it ends with status 3."""
    calls = []

    def serve(settings: Settings, path: Path | None) -> int:
        calls.append((settings, path))
        return 3

    module = ModuleType("miltscan.daemon.run")
    module.run_service = serve  # type: ignore[attr-defined]  # a module made here has no types
    monkeypatch.setitem(sys.modules, "miltscan.daemon.run", module)
    return calls


@pytest.mark.parametrize("option", ["-c", "--config"])
def test_the_service_gets_its_settings(
    option: str, served: list[tuple[Settings, Path | None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And where they are from, for a reload."""
    file = tmp_path / "miltscan.toml"
    file.write_text("[milter]\nworkers = 5\n")
    assert ended(monkeypatch, "run", option, file) == 3
    ((settings, path),) = served
    assert (settings.milter.workers, path) == (5, file)


def test_without_a_file_the_default_one_is_read(
    served: list[tuple[Settings, Path | None]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Or the defaults hold, where that is not there."""
    monkeypatch.setattr("miltscan.config.settings.DEFAULT_PATH", tmp_path / "absent.toml")
    assert ended(monkeypatch, "run") == 3
    assert served == [(Settings(), None)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("workers = 1", "{file}: key workers: unknown key, did you mean milter.workers?\n"),
        ("a =", "{file}: line 1: Invalid value\n"),
    ],
)
def test_a_wrong_configuration_is_told(
    text: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A line for each mistake, and the status of the command line."""
    file = tmp_path / "miltscan.toml"
    file.write_text(text)
    assert ended(monkeypatch, "run", "--config", file) == 2
    assert capsys.readouterr().err == told.format(file=file)


def test_a_service_that_cannot_start_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line and status 1."""

    def serve(*_: object) -> int:
        raise StartError("socket in use")

    module = ModuleType("miltscan.daemon.run")
    module.run_service = serve  # type: ignore[attr-defined]  # as above
    monkeypatch.setitem(sys.modules, "miltscan.daemon.run", module)
    file = tmp_path / "miltscan.toml"
    file.touch()
    assert ended(monkeypatch, "run", "--config", file) == 1
    assert capsys.readouterr().err == "socket in use\n"


def test_an_interrupted_start_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Ctrl-C that comes before the service sees to signals."""

    def serve(*_: object) -> int:
        raise KeyboardInterrupt

    module = ModuleType("miltscan.daemon.run")
    module.run_service = serve  # type: ignore[attr-defined]  # as above
    monkeypatch.setitem(sys.modules, "miltscan.daemon.run", module)
    file = tmp_path / "miltscan.toml"
    file.touch()
    assert ended(monkeypatch, "run", "--config", file) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments", [[], ["--version"], ["check"], ["run", "--help"], ["run", "--config=a"], ["run", "-c", "a", "b"]]
)
def test_all_else_is_for_the_command_line(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `run` is the same service."""
    monkeypatch.setattr(cli, "run_cli", lambda: sys.exit(7))
    assert ended(monkeypatch, *arguments) == 7


def test_a_worker_has_imported_what_mail_needs_and_no_more() -> None:
    """Whatever is imported before the fork counts in every process of the service."""
    code = """if True:
        import sys, miltscan.__main__ as program, miltscan.config.apart, miltscan.config.settings
        with program._as_if_absent("rich"):
            import miltscan.daemon.run, miltscan.daemon.worker
        print(*sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert {*done.stdout.split()} & {*NOT_FOR_MAIL} == set()
