"""The key file on disk: read with all that can be wrong with it told in a line; what a key is says `core.keys`."""

import stat
from dataclasses import dataclass
from pathlib import Path

from miltscan.config.load import load_settings
from miltscan.config.settings import Settings
from miltscan.core.keys import Keyring, parse_keys
from miltscan.errors import ConfigError

_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_LARGEST = 1 << 20  # bytes: thousands of keys


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force and the keys that they name: what the supervisor hands to its children."""

    settings: Settings
    keys: Keyring


def load_all(path: Path | None) -> Loaded:
    """The settings of `load(path)` with their keys. Raises ConfigError."""
    settings = load_settings(path)
    return Loaded(settings, load_keys(settings.keys.file))


def load_keys(file: str) -> Keyring:
    """The keys in the file of `keys.file`; none if that is empty. Raises ConfigError."""
    if not file:
        return ()
    path = Path(file)
    try:
        _admit(path.stat().st_mode, file)
        with path.open("rb") as stream:
            return parse_keys(_text(stream.read(_LARGEST), file), file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def _admit(mode: int, file: str) -> None:
    """Whoever reads a key can sign, and whoever writes the file can make one: neither may be anybody."""
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{file}: expected a regular file")
    if mode & _OTHERS:
        wrong = f"mode {stat.S_IMODE(mode):04o} lets others read or write it"
        raise ConfigError(f"{file}: {wrong}; run: chmod u=rw,g=r,o= {file}")


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}: line {line}: expected ASCII") from None
