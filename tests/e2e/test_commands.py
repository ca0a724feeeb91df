"""`miltscan check` and `miltscan scan` as programs, with a real clamd."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.eicar import EICAR
from tests.harness.clamav import Clamd

MAIL = b"Subject: a\nMIME-Version: 1.0\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n"


@pytest.fixture
def config(clamd: Clamd) -> Path:
    """A configuration with that clamd."""
    file = clamd.programs.folder / "miltscan.toml"
    file.write_text(f"""
        [milter]
        socket = "unix:{clamd.programs.folder}/milter.sock"
        [spool]
        directory = "{clamd.programs.folder}"
        [clamd]
        servers = ["unix:{clamd.socket}"]
    """)
    return file


def miltscan(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A run of the program."""
    command = [sys.executable, "-m", "miltscan", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


def test_check_finds_a_working_clamd_and_its_configuration(clamd: Clamd, config: Path) -> None:
    """The check finds clamd's file by its process, and the settings of deploy/ fit."""
    result = miltscan("check", "--config", config)
    ours = [line for line in result.stdout.splitlines() if " clamd " in line]
    assert [line for line in ours if not line.startswith("ok ")] == [], result.stdout
    assert any(line.endswith("passes its self-test") for line in ours)
    assert any(line.endswith(f"{clamd.folder}/clamd.conf allows what miltscan's settings need") for line in ours)
    assert any(": is ClamAV " in line for line in ours)


def test_scan_tells_clean_from_infected(clamd: Clamd, config: Path) -> None:
    """The exit status is that of the worst file; an unreadable one is named."""
    clean, infected = clamd.programs.folder / "clean.eml", clamd.programs.folder / "infected.eml"
    clean.write_bytes(MAIL + base64.encodebytes(b"harmless"))
    infected.write_bytes(MAIL + base64.encodebytes(EICAR))
    assert miltscan("scan", "--config", config, clean).returncode == 0
    result = miltscan("scan", "--json", "--config", config, clean, infected, clamd.programs.folder / "absent.eml")
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["outcome"] for one in found] == ["clean", "infected"]
    assert "Eicar" in found[1]["signature"]
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)


def test_without_a_clamd_nothing_is_clean(clamd: Clamd, config: Path) -> None:
    """Without a clamd, check reports an error, and scan reports that nothing was scanned and why."""
    text = config.read_text().replace(str(clamd.socket), f"{clamd.socket}.absent")
    other = config.with_name("absent.toml")
    other.write_text(text)
    checked, scanned = miltscan("check", "--config", other), miltscan("scan", "--config", other, config)
    assert checked.returncode == 1
    assert "fails its self-test" in checked.stdout
    assert (scanned.returncode, "unscanned (no-engine)" in scanned.stdout) == (2, True)
    why = "fails its self-test: connect: No such file or directory; miltscan check shows the remedy"
    assert scanned.stderr == f"clamd unix:{clamd.socket}.absent: {why}\n"
