"""The commands on a terminal of 80 columns: questions, bars, and nothing that controls it."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from miltscan.quarantine.files import Files
from tests.fakes.entries import put
from tests.unit.test_output import Program

HOSTILE = "\x1b[2J\x9b31m\u202e\x7f日本語"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One process for all commands."""
    program = Program(tmp_path_factory.mktemp("streams"), TERM="xterm")
    yield program
    program.end()


@pytest.fixture
def terminal(program: Program, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Runs a command of the quarantine on a terminal; `typed` is what its user types. Returns status and screen."""
    (tmp_path / "f.toml").write_text(
        f'quarantine.directory = "{tmp_path}/quarantine"\nspool.directory = "{tmp_path}"\n'
    )

    def run(*arguments: str, typed: str = "") -> tuple[int, str]:
        master, slave = pty.openpty()
        name = os.ttyname(slave)
        os.write(master, typed.encode())
        with ThreadPoolExecutor(1) as reader:
            screen = reader.submit(read_to_end, master)
            command = ["quarantine", *arguments, "--config", f"{tmp_path}/f.toml"]
            status, _, _ = program.run(command, stdout=name, stderr=name, stdin=name)
            os.close(slave)
            text = screen.result().decode().replace("\r\n", "\n")
        os.close(master)
        return status, text

    return run


def read_to_end(master: int) -> bytes:
    """What is written to a terminal until no process has it open."""
    screen = b""
    with suppress(OSError):  # EIO at its end
        while True:
            screen += os.read(master, 65536)
    return screen


def stored(tmp_path: Path, number: int = 1, **changes: Any) -> list[str]:  # noqa: ANN401 - any field
    """The IDs of new entries."""
    now = time.time()
    return [put(Files(tmp_path / "quarantine"), time=now - one, **changes).id for one in range(number)]


@pytest.mark.parametrize(("typed", "status", "left"), [("n\n", 1, 2), ("\n", 1, 2), ("y\n", 0, 0)])
def test_a_deletion_is_asked_for(
    terminal: Callable[..., tuple[int, str]], tmp_path: Path, typed: str, status: int, left: int
) -> None:
    """With the number of entries; without an answer nothing is deleted."""
    stored(tmp_path, 2)
    done, screen = terminal("delete", "--area", "default", typed=typed)
    assert done == status
    assert "Delete 2 entries for good? [y/N]: " in screen
    assert len(terminal("list", "--ids")[1].split()) == (left or 2)  # "no entries"


def test_hostile_text_and_long_text(terminal: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """No line is longer than the terminal, and no character of a message controls it."""
    data = HOSTILE.encode()
    many = tuple(b"<user%d@example.org>" % number for number in range(3000))
    (entry_id,) = stored(
        tmp_path,
        content=f"Subject: {HOSTILE}\n\n{HOSTILE}\n".encode(),
        subject=HOSTILE * 90,
        sender=data * 20,
        recipients=(data, *many),
    )
    terminal("list")  # its bar has codes: the next ones have none
    for command in ("list", f"show {entry_id}", "search user2999@", "stats"):
        _, screen = terminal(*command.split())
        assert set(screen) & set("\x1b\x9b\u202e\x7f") == set(), command
        assert max(map(cell_len, screen.splitlines())) <= 80, command
    _, screen = terminal("show", entry_id, "--raw")
    assert screen == "Subject: \\x1b[2J\\x9b31m\\u202e\\x7f日本語\n\n\\x1b[2J\\x9b31m\\u202e\\x7f日本語\n"


def test_a_bar_is_shown_for_long_work(terminal: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """It vanishes at the end, and what was done is said in a line."""
    stored(tmp_path, 30)
    assert "Updating the index" in terminal("list")[1]
    _, screen = terminal("delete", "--area", "default", "--yes")
    assert "Deleting" in screen
    assert re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen).splitlines()[-1].strip() == "deleted 30 entries"


def test_a_bar_takes_no_line_of_a_pipe(tmp_path: Path) -> None:
    """What is for a program arrives there, while the bar is on the terminal."""
    ids = stored(tmp_path, 30)
    (tmp_path / "f.toml").write_text(
        f'quarantine.directory = "{tmp_path}/quarantine"\nspool.directory = "{tmp_path}"\n'
    )
    command = ["delete", "--yes", "--json", "--area", "default", "--config", f"{tmp_path}/f.toml"]
    master, slave = pty.openpty()
    try:
        program = [sys.executable, "-m", "miltscan", "quarantine", *command]
        done = subprocess.run(program, check=True, stdout=subprocess.PIPE, stderr=slave)
    finally:
        os.close(slave)
        os.close(master)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ids


def test_an_archive_is_not_written_to_a_terminal(terminal: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """Its bytes would control it."""
    (entry_id,) = stored(tmp_path)
    status, screen = terminal("download", entry_id, "--output", "-")
    assert (status, "standard output is a terminal" in screen) == (2, True)
