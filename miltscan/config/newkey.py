"""`miltscan keys new`: inserts a new key at the top of the key file, in one step; it prints nothing."""

import os
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from miltscan.config.keyfile import load_keys
from miltscan.config.ownership import service_user
from miltscan.config.settings import Settings
from miltscan.core.keys import SECRET_BYTES, Key, NoKeyError, is_id, parse_keys, with_new
from miltscan.errors import ConfigError, StartError

_MODE = 0o640


def new_key(settings: Settings, name: str | None = None) -> str:
    """Make a key with the id `name` (default: the time in UTC) in the file of `keys.file`, and return its id.

    The file keeps its owner and group; a new file gets the owner of spool.directory, which is miltscan's user.
    Raises ConfigError if the present file is wrong, StartError if it cannot be written.
    """
    if not settings.keys.file:
        raise ConfigError("keys.file is empty: expected the name of a file, for instance /etc/miltscan/keys")
    path = Path(settings.keys.file)
    before = _text(path, service_user(settings))
    key = Key(name or time.strftime("%Y-%m-%d-%H%M%S", time.gmtime()), secrets.token_bytes(SECRET_BYTES))
    if not is_id(key.id):
        raise ConfigError(
            f"{path}: line 1: id {key.id!r}: expected at most 32 letters, digits, dots, dashes, underscores"
        )
    after = with_new(before, key)
    parse_keys(after, str(path))
    try:
        _write(path, after, _owner(path, Path(settings.spool.directory)))
    except OSError as error:
        raise StartError(f"{path}: cannot be written: {error.strerror}") from error
    return key.id


def _text(path: Path, user: int) -> str:
    """The present text, which must be valid but may hold no key; empty if there is no file."""
    with suppress(PermissionError):  # of a closed folder, which `load_keys` reports
        if not path.exists():
            return ""
    with suppress(NoKeyError):
        load_keys(str(path), user)
    return path.read_text("ascii")


def _owner(path: Path, spool: Path) -> tuple[int, int]:
    """User and group of the new file; -1 means those of this process."""
    with suppress(OSError):
        status = path.stat()
        return status.st_uid, status.st_gid
    with suppress(OSError):
        return spool.stat().st_uid, -1
    return -1, -1


def _write(path: Path, text: str, owner: tuple[int, int]) -> None:
    """Replace the file in one step: a reader sees the old or the new text."""
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), _MODE)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink()
        raise
