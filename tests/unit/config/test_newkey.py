"""`miltscan keys new`: the new key is first, the old ones stay, and others cannot read the file."""

import os
import stat
from pathlib import Path

import pytest

from miltscan.cli import app
from miltscan.config.keyfile import load_keys
from miltscan.config.load import load_settings, parse_settings
from miltscan.config.newkey import new_key
from miltscan.errors import ConfigError
from tests.fakes.runner import CliRunner


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and output of `miltscan keys new` for `keys` in this folder."""
    config = folder / "miltscan.toml"
    config.write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
    result = CliRunner().invoke(app, ["keys", "new", "--config", str(config), *arguments])
    return result.exit_code, result.stdout + result.stderr


def test_a_new_key_signs_and_the_old_ones_stay(tmp_path: Path) -> None:
    """The file has mode 0640, and no scratch file is left in the folder."""
    assert run(tmp_path, "--id", "one") == (0, f"{tmp_path}/keys: key one is now the first one\n")
    (one,) = load_keys(f"{tmp_path}/keys")
    assert run(tmp_path)[0] == 0
    two, still_one = load_keys(f"{tmp_path}/keys")
    assert (still_one, one.id, len(one.secret)) == (one, "one", 32)
    assert two.secret != one.secret
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "miltscan.toml"]


@pytest.mark.parametrize("name", ["one", "no good", "x" * 33, "#"])
def test_an_id_that_cannot_be(tmp_path: Path, name: str) -> None:
    """An id that exists or is malformed is one line, and the file stays as it was."""
    run(tmp_path, "--id", "one")
    before = (tmp_path / "keys").read_bytes()
    status, output = run(tmp_path, "--id", name)
    assert status == 2
    assert output.startswith(f"{tmp_path}/keys: line ")
    assert (tmp_path / "keys").read_bytes() == before


@pytest.mark.parametrize("text", ["", "# keys of mx\n"])
def test_a_file_without_a_key(tmp_path: Path, text: str) -> None:
    """An administrator may have made the file first, for its owner and mode; its text stays."""
    (tmp_path / "keys").write_text(text)
    (tmp_path / "keys").chmod(0o600)
    assert run(tmp_path, "--id", "one")[0] == 0
    (one,) = load_keys(f"{tmp_path}/keys")
    assert one.id == "one"
    assert (tmp_path / "keys").read_text().endswith(text)


@pytest.mark.parametrize("name", ["#", "no good", "a\nb", "\x1b[2J"])
def test_a_first_key_that_can_have_no_such_id(tmp_path: Path, name: str) -> None:
    """The line names the id and not the missing key; it has no control characters for the terminal."""
    status, output = run(tmp_path, "--id", name)
    assert (status, output[:-1].isprintable()) == (2, True)
    assert f"id {name!r}: expected" in output
    assert not (tmp_path / "keys").exists()


def test_a_file_that_is_wrong_is_not_written(tmp_path: Path) -> None:
    """An invalid file stays for the administrator to correct."""
    (tmp_path / "keys").write_text("nonsense\n")
    (tmp_path / "keys").chmod(0o600)
    assert run(tmp_path)[0] == 2
    assert (tmp_path / "keys").read_text() == "nonsense\n"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A missing folder is one line without a traceback."""
    config = tmp_path / "miltscan.toml"
    config.write_text(f"keys.file = '{tmp_path}/absent/keys'\n")
    result = CliRunner().invoke(app, ["keys", "new", "--config", str(config)])
    wanted = f"{tmp_path}/absent/keys: cannot be written: No such file or directory\n"
    assert (result.exit_code, result.stdout + result.stderr) == (1, wanted)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's file is neither read nor replaced."""
    (tmp_path / "keys").write_text("x")
    (tmp_path / "miltscan.toml").write_text(f"keys.file = '{tmp_path}/keys'\n")
    settings = load_settings(tmp_path / "miltscan.toml")

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(ConfigError, match=r"/keys: cannot be read by user \d+: permission denied$"):
        new_key(settings)
    assert (tmp_path / "keys").read_text() == "x"


def test_without_a_setting_there_is_no_file(tmp_path: Path) -> None:
    """The line names the key to set."""
    (tmp_path / "empty.toml").touch()
    result = CliRunner().invoke(app, ["keys", "new", "--config", str(tmp_path / "empty.toml")])
    assert (result.exit_code, result.stderr.split(":")[0]) == (2, "keys.file is empty")


def test_help_has_an_example() -> None:
    """The help of the command has an example."""
    result = CliRunner().invoke(app, ["keys", "new", "--help"])
    assert "miltscan keys new --id 2027-01" in result.stdout


@pytest.mark.parametrize(
    ("exists", "spool", "owner"),
    [
        (True, True, (os.geteuid(), os.getegid())),
        (False, True, (os.geteuid(), -1)),
        (False, False, (-1, -1)),
    ],
)
def test_the_owner_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool, spool: bool, owner: tuple[int, int]
) -> None:
    """The file keeps its owner; a new file belongs to the owner of the spool folder, and no group is given the key."""
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _descriptor, user, group: owners.append((user, group)))
    if exists:
        (tmp_path / "keys").touch(0o600)
    text = f"keys.file = '{tmp_path}/keys'\nspool.directory = '{tmp_path}{'' if spool else '/absent'}'\n"
    new_key(parse_settings(text.encode(), "f"))
    assert owners == [owner]


def test_a_write_that_fails_leaves_no_key_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scratch file holds the new key, so it is removed."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, output = run(tmp_path, "--id", "one")
    assert (status, output) == (1, f"{tmp_path}/keys: cannot be written: No space left on device\n")
    assert [path.name for path in tmp_path.iterdir()] == ["miltscan.toml"]
