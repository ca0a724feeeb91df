"""Reads the configuration file: TOML in, frozen settings out, or every mistake at once, a line each."""

import os
import tomllib
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from miltscan.config.mistakes import mistakes, syntax
from miltscan.config.settings import Settings
from miltscan.errors import ConfigError

DEFAULT_PATH = Path("/etc/miltscan/miltscan.toml")


def load_settings(path: Path | None = None) -> Settings:
    """The settings in `path`; of None those in DEFAULT_PATH, or the defaults where that does not exist.

    Raises ConfigError.
    """
    file = path or DEFAULT_PATH
    try:
        if file.is_fifo():  # reading it would wait for a writer, and a reload with it
            raise ConfigError(f"{file}: is a FIFO; expected a regular file")
        return parse_settings(file.read_bytes(), str(file))
    except FileNotFoundError:
        if path is None:
            return Settings()
        raise ConfigError(f"{file}: cannot be read: no such file") from None
    except PermissionError:
        raise ConfigError(
            f"{file}: cannot be read by user {os.geteuid()}: permission denied. Run this command as root, "
            "or let miltscan's user read the file"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def parse_settings(data: bytes, name: str) -> Settings:
    """The settings in the TOML `data` of the file `name`; raises ConfigError with a line for each mistake."""
    data = data.removeprefix(BOM_UTF8)
    try:
        given = tomllib.loads(data.decode())
        return Settings.model_validate(given)
    except ValidationError as error:
        lines = [*mistakes(error, Settings), *_between_tables(given, error)]
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        lines = [f"line {line}: expected UTF-8"]
    except tomllib.TOMLDecodeError as error:
        lines = [syntax(str(error), data.decode())]
    except ValueError:  # of int(), which is what is left
        lines = ["a number has thousands of digits; expected a shorter one"]
    except RecursionError:
        lines = ["brackets are nested hundreds deep; expected fewer"]
    raise ConfigError("\n".join(f"{name}: {line}" for line in lines))


def _between_tables(given: dict[str, Any], error: ValidationError) -> list[str]:
    """The broken rules between tables that have no mistake; pydantic checks none of them next to `error`."""
    broken = {one["loc"][0] for one in error.errors() if one["loc"]}
    try:
        Settings.model_validate({name: table for name, table in given.items() if name not in broken})
    except ValidationError as between:
        lines = mistakes(between, Settings) if broken else []
        return [line for line in lines if not any(f"{table}." in line for table in broken)]
    return []
