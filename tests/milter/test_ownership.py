"""The service refuses secrets that others could use or replace, as root and as an ordinary user."""

import os

import pytest

from tests.harness import programs
from tests.milter.conftest import Fleet
from tests.milter.daemon import COMMAND, Daemon

NOBODY = 65534
STRANGER = 4711
AS_NOBODY = tuple(map(str, programs.unprivileged(COMMAND)))
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def with_keys(own: Fleet, command: tuple[str, ...], owner: int, mode: int = 0o644) -> Daemon:
    """A service started by this command, whose key file belongs to `owner`, and its configuration has this mode."""
    daemon = own()
    folder = daemon.folder
    daemon.settings = {"keys.file": f"{folder}/keys", "receipt.remote_verifier": True}
    daemon.command = command
    keys = folder / "keys"
    keys.write_text(f"one {'1' * 64}\n")
    keys.chmod(0o640)
    daemon.write_settings()
    if command is AS_NOBODY:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    os.chown(keys, owner, -1)
    daemon.config.chmod(mode)
    daemon.start()
    return daemon


@pytest.mark.parametrize(("command", "owner"), [(COMMAND, 0), (AS_NOBODY, 0), (AS_NOBODY, NOBODY)])
def test_keys_of_root_or_of_the_service_are_used(own: Fleet, command: tuple[str, ...], owner: int) -> None:
    """The service starts and signs, as root and as an ordinary user."""
    daemon = with_keys(own, command, owner)
    daemon.wait_ready()
    result = daemon.send()
    assert any(edit.value.startswith(b" v=2; k=one; ") for edit in result.edits)
    assert daemon.stop() == 0


@pytest.mark.parametrize(
    ("command", "owner", "mode", "expected"),
    [
        (
            AS_NOBODY,
            STRANGER,
            0o644,
            "{keys}: belongs to user 4711: expected root or user 65534; run: chown 65534 {keys}",
        ),
        (COMMAND, NOBODY, 0o644, "{keys}: belongs to user 65534, but miltscan runs as root; run it as user 65534"),
        (
            AS_NOBODY,
            NOBODY,
            0o666,
            "{file} names a file of secrets, but {file} has mode 0666: others may change it; run: chmod go-w {file}",
        ),
    ],
)
def test_secrets_that_others_could_use_or_replace_are_refused(
    own: Fleet, command: tuple[str, ...], owner: int, mode: int, expected: str
) -> None:
    """The service does not start, and one line says why and what to do."""
    daemon = with_keys(own, command, owner, mode)
    assert daemon.ended() == 2
    line = expected.format(keys=daemon.folder / "keys", file=daemon.config)
    assert daemon.running.log.read_text() == f"{line}\n"
