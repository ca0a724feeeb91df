"""`miltscan keys new`: puts a new key first in the key file, in one step, and keeps the others; it prints nothing."""

import os
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from miltscan.config.keyfile import load_keys
from miltscan.config.settings import Settings
from miltscan.core.keys import SECRET_BYTES, Key, NoKeyError, is_id, parse_keys, with_new
from miltscan.errors import ConfigError, StartError

_MODE = 0o640


def new_key(settings: Settings, name: str | None = None) -> str:
    """Make a key called `name`, or by the time, in the file of `keys.file`; returns its id.

    The file keeps its owner and group; a new one belongs to whom spool.directory belongs, which is miltscan's user.
    Raises ConfigError where the file that is there is wrong, StartError where it cannot be written.
    """
    if not settings.keys.file:
        raise ConfigError("keys.file is empty: name a file there first, for instance /etc/miltscan/keys")
    path = Path(settings.keys.file)
    before = _text(path)
    key = Key(name or time.strftime("%Y-%m-%d-%H%M%S", time.gmtime()), secrets.token_bytes(SECRET_BYTES))
    if not is_id(key.id):
        raise ConfigError(
            f"{path}: line 1: {key.id!r} is no id: expected at most 32 letters, digits, dots, dashes, underscores"
        )
    after = with_new(before, key)
    parse_keys(after, str(path))
    try:
        _write(path, after, _owner(path, Path(settings.spool.directory)))
    except OSError as error:
        raise StartError(f"{path}: cannot be written: {error.strerror}") from error
    return key.id


def _text(path: Path) -> str:
    """What stands there, which has to be right but may hold no key; nothing of a file that is not there."""
    with suppress(PermissionError):  # of a folder that nobody may look into, `load_keys` tells
        if not path.exists():
            return ""
    with suppress(NoKeyError):
        load_keys(str(path))
    return path.read_text("ascii")


def _owner(path: Path, spool: Path) -> tuple[int, int]:
    """User and group of the new file; -1 is whoever makes it."""
    with suppress(OSError):
        status = path.stat()
        return status.st_uid, status.st_gid
    with suppress(OSError):
        return spool.stat().st_uid, -1
    return -1, -1


def _write(path: Path, text: str, owner: tuple[int, int]) -> None:
    """Whoever reads the file meanwhile sees the old or the new one."""
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
