"""`scan --explain`: the structure of a message, and what of it was scanned; no engine runs."""

import base64
import os
from pathlib import Path

import pytest
from typer.testing import Result

from miltscan.cli import app
from miltscan.core.message import Message
from miltscan.core.verdict import Verdict
from miltscan.engines.base import Tick
from tests.fakes.archives import as_lzip
from tests.fakes.runner import CliRunner

HOSTILE = "\x1b[2J"


class Words:
    """An engine that looks for a word in the bytes as they are."""

    name = "clamd"
    required = True

    def probe(self) -> None:
        """It is up."""

    def scan(self, message: Message, _deadline: float, _tick: Tick) -> Verdict:
        """The verdict by the word."""
        found = b"VIRUS" in os.pread(message.content.fileno(), 1 << 20, 0)
        return Verdict.infected("clamd", f"Test{HOSTILE}") if found else Verdict.clean("clamd")


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miltscan.scanning.assemble_engines.engine_for", lambda *_: Words())


def scan(folder: Path, content: bytes, *options: str) -> Result:
    """A run over one file."""
    file, config = folder / "message.eml", folder / "f.toml"
    file.write_bytes(content)
    config.write_text(f'spool.directory = "{folder}"\nmime.sample = 0\n')
    return CliRunner().invoke(app, ["scan", *options, "--config", str(config), str(file)], prog_name="miltscan")


def mail(content: bytes) -> bytes:
    """A mail with an attachment in base64."""
    return (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n"
        b'--b\r\nContent-Type: application/x; name="a\x1b[2J.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        + content
        + b"\r\n--b--\r\n"
    )


def test_the_parts_of_a_message_that_can_be_read_in_several_ways(tmp_path: Path) -> None:
    """Each reading has a row with its result, and hostile names are cleaned."""
    hidden = base64.b64encode(b"ab") + base64.b64encode(b"a VIRUS of some length")
    result = scan(tmp_path, mail(hidden), "--explain")
    assert result.exit_code == 1, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "infected (Test\\x1b[2J in part 2)" in lines[0]
    assert lines[1].startswith("it can be read in several ways: padding-inside")
    assert "part size encoding result type name" in lines
    assert any(line.startswith("2 24 B base64-") and "Infected (Test?[2J)" in line for line in lines)
    assert "\x1b" not in result.stdout


def test_a_plain_message(tmp_path: Path) -> None:
    """Its parts were scanned with it."""
    result = scan(tmp_path, mail(base64.b64encode(b"good")), "--explain")
    assert result.exit_code == 0, result.stderr
    assert "all mail programs read it alike" in result.stdout
    assert result.stdout.count("with the message") == 3


def test_a_plain_message_with_an_archive(tmp_path: Path) -> None:
    """What is in the archive has a row of its own."""
    archive = as_lzip(b"a VIRUS of some length")
    result = scan(tmp_path, mail(base64.b64encode(archive)), "--explain")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "all mail programs read it alike: what is in its archives is scanned as well" in lines
    assert any(line.startswith("1 13 B identity with the message") for line in lines)
    assert any(line.startswith("2/lzma:0 22 B Infected") for line in lines)


@pytest.mark.parametrize(("options", "mistake"), [(["--explain", "--json"], "either --explain or --json")])
def test_options_that_do_not_fit(tmp_path: Path, options: list[str], mistake: str) -> None:
    """One line says what was expected."""
    result = scan(tmp_path, mail(b""), *options)
    assert result.exit_code == 2
    assert mistake in result.stderr


def test_standard_input_cannot_be_read_twice() -> None:
    """A file is needed."""
    result = CliRunner().invoke(app, ["scan", "--explain", "-"], input=b"", prog_name="miltscan")
    assert result.exit_code == 2
    assert "expected a file" in result.stderr
