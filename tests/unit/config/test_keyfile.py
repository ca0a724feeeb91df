"""The key file on disk: valid files, and files that are refused."""

import os
from pathlib import Path

import pytest

from miltscan.config.keyfile import load_keys
from miltscan.config.secretfile import read_file
from miltscan.core.keys import Key
from miltscan.errors import ConfigError

TEXT = f"one {'0f' * 32}\n"


def made(folder: Path, mode: int = 0o640, data: bytes = TEXT.encode()) -> str:
    """A key file."""
    file = folder / "keys"
    file.write_bytes(data)
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_a_file_that_only_we_read(tmp_path: Path, mode: int) -> None:
    """The owner and the group may read it."""
    assert load_keys(made(tmp_path, mode)) == (Key("one", b"\x0f" * 32),)


def test_no_file_no_keys() -> None:
    """Without keys.file there are no keys."""
    assert load_keys("") == ()


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o660, 0o641])
def test_a_file_for_others_is_refused(tmp_path: Path, mode: int) -> None:
    """A reader could sign, and a writer could add a key."""
    file = made(tmp_path, mode)
    with pytest.raises(ConfigError) as caught:
        load_keys(file)
    wrong = f"{file}: mode {mode:04o} lets others read or write it"
    assert str(caught.value) == f"{wrong}; run: chmod u=rw,g=r,o= {file}"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """The line names the file and the fault: missing, not ASCII, malformed."""
    with pytest.raises(ConfigError, match=r"/absent: cannot be read by user \d+: no such file or directory$"):
        load_keys(f"{tmp_path}/absent")
    with pytest.raises(ConfigError, match=r"/keys: line 2: expected ASCII$"):
        load_keys(made(tmp_path, data=TEXT.encode() + b"\xff"))
    with pytest.raises(ConfigError, match=r"/keys: line 1: key one: expected 64 to 128 hexadecimal digits$"):
        load_keys(made(tmp_path, data=b"one 00\n"))


@pytest.mark.parametrize("kind", ["device", "folder", "pipe"])
def test_only_a_regular_file_is_a_key_file(tmp_path: Path, kind: str) -> None:
    """A device is not read without end, and a FIFO does not block."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    file = {"device": os.devnull, "folder": str(tmp_path), "pipe": f"{tmp_path}/pipe"}[kind]
    with pytest.raises(ConfigError, match=r"expected a regular file|is a directory"):
        load_keys(file)


def test_the_size_of_a_file_is_bounded(tmp_path: Path) -> None:
    """A file of one MiB is read to its last byte, a larger one is refused."""
    assert read_file(made(tmp_path, data=bytes(2**20))) == bytes(2**20)
    with pytest.raises(ValueError, match=r"^expected a regular file of at most 1 MiB$"):
        read_file(made(tmp_path, data=bytes(2**20 + 1)))
