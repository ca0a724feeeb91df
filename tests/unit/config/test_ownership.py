"""Who may change what the service trusts: owner and mode of a file, and of the folders above it."""

import os
from pathlib import Path

import pytest

from miltscan.config.keyfile import load_all, load_keys
from miltscan.config.load import parse_settings
from miltscan.config.ownership import loose_places, names_secrets, service_user
from miltscan.errors import ConfigError

US = os.geteuid()
STRANGER = 4711
ROOT_ONLY = pytest.mark.skipif(US != 0, reason="only root can give a file to another user")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that nobody else may change, in a folder of its own."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    file = folder / "miltscan.toml"
    file.touch(0o644)
    return file


@pytest.mark.parametrize("place", ["", ".."])
@pytest.mark.parametrize(("mode", "loose"), [(0o755, False), (0o757, True), (0o777, True), (0o775, False)])
def test_a_mode_that_lets_others_write(file: Path, place: str, mode: int, *, loose: bool) -> None:
    """The line names the file or the folder above it, and the remedy; our own group may write."""
    changed = (file / place).resolve()
    changed.chmod(mode)
    line = f"{changed} has mode {mode:04o}: others may change it; run: chmod go-w {changed}"
    assert [*loose_places(file, US)] == ([line] if loose else [])


@ROOT_ONLY
@pytest.mark.parametrize(("group", "loose"), [(0, False), (STRANGER, True)])
def test_a_group_that_may_write(file: Path, group: int, *, loose: bool) -> None:
    """Members of any other group than root's and our own could change the file."""
    os.chown(file, -1, group)
    file.chmod(0o664)
    assert bool([*loose_places(file, US)]) is loose


@ROOT_ONLY
@pytest.mark.parametrize("place", ["", ".."])
def test_a_place_of_another_user(file: Path, place: str) -> None:
    """The owner may change a file of any mode, so only root and the service's user may be the owner."""
    changed = (file / place).resolve()
    os.chown(changed, STRANGER, -1)
    line = f"{changed} belongs to user {STRANGER}, who may change it; run: chown root {changed}"
    assert [*loose_places(file, US)] == [line]
    assert [*loose_places(file, STRANGER)] == []


def test_a_sticky_folder_protects_the_files_in_it(file: Path) -> None:
    """Below /tmp no user can replace the file of another one."""
    file.parent.chmod(0o1777)
    assert [*loose_places(file, US)] == []


def test_both_folders_of_a_symbolic_link_count(file: Path, tmp_path: Path) -> None:
    """Both the link and its target can be replaced."""
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "link").symlink_to(file)
    for changed in (folder, file.parent):
        changed.chmod(0o777)
    assert [line.partition(" ")[0] for line in loose_places(folder / "link", US)] == [str(folder), str(file.parent)]


def test_a_file_that_is_not_there_has_no_fault(tmp_path: Path) -> None:
    """The reader of the file reports that it is missing."""
    assert [*loose_places(tmp_path / "absent" / "file", US)] == []


@pytest.mark.parametrize("key", ["keys.file", "exporter.users_file", "exporter.token_file", "exporter.certificate"])
def test_secrets_in_a_file_that_others_may_change_are_refused(file: Path, key: str) -> None:
    """Another user could let the service use other keys; without secrets in the settings there is only a warning."""
    file.write_text(f"{key} = '{file.parent}/absent'\n")
    assert names_secrets(parse_settings(file.read_bytes(), "f"))
    file.chmod(0o666)
    with pytest.raises(ConfigError) as caught:
        load_all(file)
    assert str(caught.value) == (
        f"{file} names a file of secrets, but {file} has mode 0666: others may change it; run: chmod go-w {file}"
    )
    file.write_text("")
    assert load_all(file).keys == ()


@pytest.fixture
def keys(file: Path) -> Path:
    """A valid key file."""
    path = file.parent / "keys"
    path.write_text(f"one {'1' * 64}\n")
    path.chmod(0o640)
    return path


@ROOT_ONLY
def test_a_key_file_of_another_user_is_refused(keys: Path) -> None:
    """The owner of a key can sign, so it must be root or the service's user; for a service of root only root."""
    os.chown(keys, STRANGER, -1)
    with pytest.raises(ConfigError) as caught:
        load_keys(str(keys), 65534)
    assert str(caught.value) == (
        f"{keys}: belongs to user {STRANGER}: expected root or user 65534; run: chown 65534 {keys}"
    )
    with pytest.raises(ConfigError) as caught:
        load_keys(str(keys))
    assert str(caught.value) == (
        f"{keys}: belongs to user {STRANGER}, but miltscan runs as root; run it as user {STRANGER}"
    )
    assert len(load_keys(str(keys), STRANGER)) == 1


def test_a_key_file_in_a_folder_for_all_is_refused(keys: Path) -> None:
    """Any user could replace a key file in such a folder."""
    keys.parent.chmod(0o777)
    with pytest.raises(ConfigError, match=r"/keys: /\S+ has mode 0777: others may change it; run: chmod go-w /\S+$"):
        load_keys(str(keys))


def test_the_user_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For root it is the owner of the spool folder, or root without a folder; otherwise it is the present user."""
    here = parse_settings(f"spool.directory = '{tmp_path}'".encode(), "f")
    gone = parse_settings(f"spool.directory = '{tmp_path}/absent'".encode(), "f")
    for euid in (0, STRANGER):
        monkeypatch.setattr(os, "geteuid", lambda euid=euid: euid)
        assert [service_user(here), service_user(gone)] == ([US, 0] if euid == 0 else [STRANGER, STRANGER])
