"""Reads the key file that `keys.file` names; `core.keys` defines what a key is."""

import os
from dataclasses import dataclass
from pathlib import Path

from miltscan.config.load import DEFAULT_PATH, load_settings
from miltscan.config.ownership import refuse_untrusted
from miltscan.config.secretfile import read_file
from miltscan.config.settings import Settings
from miltscan.core.keys import Keyring, parse_keys
from miltscan.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force and the keys that they name: what the supervisor hands to its children.

    `shadow` are settings whose policy is only asked (`run --shadow`).
    """

    settings: Settings
    keys: Keyring
    shadow: Settings | None = None


def load_all(path: Path | None) -> Loaded:
    """The settings of `load_settings(path)` with their keys, for the service. Raises ConfigError."""
    return load_secrets(load_settings(path), path)


def load_secrets(settings: Settings, path: Path | None) -> Loaded:
    """The settings that were read from `path` with their keys, for the service. Raises ConfigError."""
    refuse_untrusted(settings, path or DEFAULT_PATH, os.geteuid())
    return Loaded(settings, load_keys(settings.keys.file))


def load_keys(file: str, user: int | None = None) -> Keyring:
    """The keys in the file of `keys.file`, which may belong to `user`; none if that is empty. Raises ConfigError."""
    if not file:
        return ()
    try:
        data = read_file(file, user=user)
        return parse_keys(data.decode("ascii"), file)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}: line {line}: expected ASCII") from None
    except ValueError as error:
        raise ConfigError(f"{file}: {error}") from None
