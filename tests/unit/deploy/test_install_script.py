"""The script that installs Debian packages: which of two names a release has. Its apt is a fake."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy" / "debian" / "install"


@pytest.mark.parametrize(("known", "wanted"), [("a b c", "a c"), ("b c", "b c"), ("", "b c")])
def test_the_first_name_that_the_release_has(tmp_path: Path, known: str, wanted: str) -> None:
    """Of `a | b` the first one that apt knows, else the last one; any other line is one name."""
    (tmp_path / "apt-cache").write_text(f'#!/bin/sh\ncase " {known} " in *" $2 "*) exit 0 ;; esac\nexit 1\n')
    (tmp_path / "apt-cache").chmod(0o755)
    (tmp_path / "list").write_text("# a comment\n\na | b  # one of them\nc\n")
    text = SCRIPT.read_text()
    function = text[text.index("wanted() {") :].partition("\n}\n")[0] + "\n}\n"
    path = f"{tmp_path}:{os.environ['PATH']}"
    command: list[str | Path] = ["sh", "-c", f"list=$1; {function} wanted", "sh", tmp_path / "list"]
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == wanted.split()
