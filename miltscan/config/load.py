"""Reads the configuration file: TOML in, frozen settings out, or every mistake at once, a line each."""

import tomllib
from codecs import BOM_UTF8
from pathlib import Path

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
        return parse_settings(file.read_bytes(), str(file))
    except FileNotFoundError:
        if path is None:
            return Settings()
        raise ConfigError(f"{file}: cannot be read: no such file") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None


def parse_settings(data: bytes, name: str) -> Settings:
    """The settings in the TOML `data` of the file `name`; raises ConfigError with a line for each mistake."""
    data = data.removeprefix(BOM_UTF8)
    try:
        return Settings.model_validate(tomllib.loads(data.decode()))
    except ValidationError as error:
        lines = mistakes(error, Settings)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        lines = [f"line {line}: expected UTF-8"]
    except tomllib.TOMLDecodeError as error:
        lines = [syntax(str(error), data.decode())]
    except ValueError:  # of int(), which is what is left
        lines = ["expected no number of thousands of digits"]
    except RecursionError:
        lines = ["expected no brackets within brackets hundreds deep"]
    raise ConfigError("\n".join(f"{name}: {line}" for line in lines))
