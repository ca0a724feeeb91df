"""Folders and sockets as the user of sendmail sees them."""

import os
import socket
from collections.abc import Iterator
from os import stat_result
from pathlib import Path

import pytest

from miltscan.doctor import rights
from miltscan.doctor.rights import Identity, identity
from tests.unit.doctor.support import bad, only

ROOT = Identity("root", 0, frozenset({0}))
STRANGER = Identity("stranger", 2**31 - 2, frozenset({2**31 - 2}))


@pytest.fixture(autouse=True)
def above(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The folders above the test's own one count as safe."""
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> stat_result:
        found = real(path, follow_symlinks=follow_symlinks)
        return found if path.is_relative_to(tmp_path) else stat_result([0o40755, *found[1:]])

    monkeypatch.setattr(Path, "stat", stat)


@pytest.fixture
def sock(tmp_path: Path) -> Iterator[Path]:
    """A socket in a folder with the right modes."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "run"
    folder.mkdir(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        (folder / "s").chmod(0o660)
        yield folder / "s"


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "wanted", "yes"),
    [
        (0o700, 5, 9, 7, True),
        (0o070, 5, 9, 4, False),
        (0o070, 6, 5, 7, True),
        (0o707, 6, 5, 1, False),
        (0o001, 6, 9, 1, True),
        (0o001, 6, 9, 2, False),
    ],
)
def test_owner_group_others(mode: int, uid: int, gid: int, wanted: int, *, yes: bool) -> None:
    """The first of the three that matches decides, even if another one would allow more."""
    status = stat_result([mode, 0, 0, 1, uid, gid, 0, 0, 0, 0])
    assert Identity("a", 5, frozenset({5})).may(status, wanted) is yes
    assert ROOT.may(status, wanted)


def test_the_user_that_sendmail_becomes() -> None:
    """RunAsUser may be a name or a number, with or without a group; if empty, sendmail stays root."""
    assert identity("") == ROOT
    assert identity("nobody") == identity("65534")
    assert identity("root:12345") == Identity("root", 0, frozenset({12345} | (identity("root") or ROOT).gids - {0}))
    assert [identity(one) for one in ("no-such-user", "root:no-such-group", "4294967294")] == [None] * 3


def test_a_good_socket(sock: Path) -> None:
    """Root may connect to a socket with the right modes."""
    assert bad(rights.socket_findings(sock, ROOT, "safe")) == []


def test_a_missing_socket(tmp_path: Path) -> None:
    """A missing socket is one error."""
    assert only(rights.socket_findings(tmp_path / "absent", ROOT, "safe"), "error", "No such file")


@pytest.mark.parametrize(
    ("mode", "blame", "words"),
    [
        (0o775, "safe", "unsafe"),
        (0o775, "GroupWritableDirPathSafe", ""),
        (0o777, "GroupWritableDirPathSafe", "unsafe"),
        (0o1777, "safe", "unsafe"),
        (0o711, "safe", ""),
    ],
)
def test_unsafe_folders(sock: Path, mode: int, blame: str, words: str) -> None:
    """Sendmail refuses a folder that group or others may write to, unless the site declares its groups safe."""
    sock.parent.chmod(mode)
    assert only(rights.socket_findings(sock, ROOT, blame), "error", words)


def test_another_user_needs_rights(sock: Path) -> None:
    """Another user must be able to search each folder and to write to the socket."""
    assert only(rights.socket_findings(sock, STRANGER, "safe"), "error", "stranger, the user of sendmail")
    sock.chmod(0o666)
    assert bad(rights.socket_findings(sock, STRANGER, "safe")) == []
    sock.parent.chmod(0o750)
    assert only(rights.socket_findings(sock, STRANGER, "safe"), "error", "stranger cannot enter it")


def test_sendmail_refuses_a_link(sock: Path) -> None:
    """A symbolic link in the place of the socket is an error."""
    link = sock.with_name("link")
    link.symlink_to(sock)
    sock.chmod(0o666)
    assert only(rights.socket_findings(link, ROOT, "safe"), "error", "symbolic link")


def test_the_folder_of_a_queue(tmp_path: Path) -> None:
    """It must exist, be a folder, belong to its user, and be closed to others."""
    queue = tmp_path / "mqueue"
    assert only(rights.queue_folder_findings("incoming", str(queue), ROOT), "error", "No such file")
    queue.touch()
    assert "is not a folder" in str(bad(rights.queue_folder_findings("incoming", str(queue), ROOT)))
    queue.unlink()
    queue.mkdir(0o700)
    assert bad(rights.queue_folder_findings("incoming", str(queue), ROOT)) == []
    assert only(rights.queue_folder_findings("incoming", str(queue), STRANGER), "error", "stranger cannot queue")
    queue.chmod(0o705)
    assert only(rights.queue_folder_findings("incoming", str(queue), ROOT), "error", "any user of the host")


def test_several_queues(tmp_path: Path) -> None:
    """An asterisk stands for all folders with this prefix; no match is an error."""
    pattern = f"{tmp_path}/q*"
    assert only(rights.queue_folder_findings("incoming", pattern, ROOT), "error", "no such folder")
    for name in ("q2", "q1"):
        (tmp_path / name).mkdir(0o700)
    assert rights.queue_folders(pattern) == [tmp_path / "q1", tmp_path / "q2"]
    assert bad(rights.queue_folder_findings("incoming", pattern, ROOT)) == []


def test_queues_with_the_same_rights(tmp_path: Path) -> None:
    """Owner, group and mode must be the same; the remedy copies them."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir(0o700)
    assert [*rights.same_rights_findings(one, other)] == []
    other.mkdir(0o700)
    assert [*rights.same_rights_findings(one, other)] == []
    other.chmod(0o750)
    (found,) = rights.same_rights_findings(one, other)
    assert found.remedy == f"run: chown --reference={one} {other} && chmod --reference={one} {other}"


def test_an_owner_without_a_name() -> None:
    """An owner without a name is shown by number."""
    status = stat_result([0, 0, 0, 1, 2**31 - 2, 2**31 - 2, 0, 0, 0, 0])
    assert rights.owner(status) == f"{2**31 - 2}:{2**31 - 2}"
    assert ":" in rights.owner(os.stat_result([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
