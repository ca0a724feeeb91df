"""deploy/sysv/miltscan-sandwich: what it reads of the configuration; tests/e2e/test_sysv.py runs it whole."""

import re
import subprocess
from pathlib import Path

import pytest

from miltscan.cli import app
from tests.fakes.runner import CliRunner

SCRIPT = Path(__file__).parents[3] / "deploy" / "sysv" / "miltscan-sandwich"


@pytest.mark.parametrize(
    ("text", "socket"),
    [
        ("milter.socket = 'unix:/a b'", "/a b"),
        ("milter.socket = 'inet:1@127.0.0.1'", ""),
        ("milter.socket = 'unix:/a'\nverify.socket = 'unix:/b'", "/a"),
        ("milter.socket = 'inet:1@127.0.0.1'\nverify.socket = 'unix:/b'", ""),
    ],
)
def test_the_socket_that_a_start_waits_for(tmp_path: Path, text: str, socket: str) -> None:
    """A start waits for the socket of the incoming side only: with both in one text it waited for ever."""
    found = re.search(r"^milter_socket\(\) .*$", SCRIPT.read_text(), re.MULTILINE)
    assert found
    config, program = tmp_path / "miltscan.toml", tmp_path / "miltscan"
    config.write_text(text)
    shown = CliRunner().invoke(app, ["config", "--config", str(config)]).stdout
    program.write_text(f"#!/bin/sh\n[ \"$*\" = 'config --config {config}' ] && cat <<'EOF'\n{shown}EOF\n")
    program.chmod(0o755)
    code = f"MILTSCAN={program} cf={config}\n{found[0]}\nmilter_socket"
    done = subprocess.run(["/bin/sh", "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.removesuffix("\n") == socket
