"""Reads the configuration file: TOML in, frozen settings out, or every mistake at once, a line each."""

import os
import tomllib
from codecs import BOM_UTF8
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from miltscan.config.mistakes import mistakes, syntax
from miltscan.config.rules import RuleSettings
from miltscan.config.settings import Settings
from miltscan.config.table import Table
from miltscan.errors import ConfigError

T = TypeVar("T", bound=Table)
DEFAULT_PATH = Path("/etc/miltscan/miltscan.toml")


def load_settings(path: Path | None = None) -> Settings:
    """The settings in `path`; of None those in DEFAULT_PATH, or the defaults where that does not exist.

    Raises ConfigError.
    """
    file = path or DEFAULT_PATH
    try:
        data = _content(file)
    except FileNotFoundError:
        if path is None:
            return Settings()
        raise ConfigError(f"{file}: cannot be read: no such file") from None
    settings = parse_settings(data, str(file))
    return _with_rule_files(settings, data, str(file)) if settings.policy.rule_files else settings


def _content(file: Path) -> bytes:
    """The bytes of a file. Raises FileNotFoundError, and ConfigError for all else."""
    try:
        if file.is_fifo():  # reading it would wait for a writer, and a reload with it
            raise ConfigError(f"{file}: is a FIFO; expected a regular file")
        return file.read_bytes()
    except FileNotFoundError:
        raise
    except PermissionError:
        raise ConfigError(
            f"{file}: cannot be read by user {os.geteuid()}: permission denied. Run this command as root, "
            "or let miltscan's user read the file"
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from None


class _RuleFile(Table):
    """A file of rules."""

    rule: tuple[RuleSettings, ...] = ()


def _with_rule_files(settings: Settings, data: bytes, name: str) -> Settings:
    """The settings with the rules of `policy.rule_files` behind their own; those files are part of them then."""
    given = tomllib.loads(data.removeprefix(BOM_UTF8).decode())
    rules, lines = [*given.get("rule", [])], list[str]()
    for pattern in settings.policy.rule_files:
        for one in sorted(glob(pattern)) if "*" in pattern else [pattern]:  # noqa: PTH207 - the pattern is absolute
            try:
                further = _read(_content(Path(one)), one)
                _validated(_RuleFile, further, one)
                rules += further.get("rule", [])
            except FileNotFoundError:
                lines.append(f"{name}: policy.rule_files: {one} does not exist")
            except ConfigError as error:
                lines.append(str(error))
    if lines:
        raise ConfigError("\n".join(lines))
    policy = {key: value for key, value in given["policy"].items() if key != "rule_files"}
    return _validated(Settings, given | {"policy": policy, "rule": rules}, f"{name} with its rule files")


def parse_settings(data: bytes, name: str) -> Settings:
    """The settings in the TOML `data` of the file `name`; raises ConfigError with a line for each mistake."""
    return _validated(Settings, _read(data, name), name)


def _read(data: bytes, name: str) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError."""
    data = data.removeprefix(BOM_UTF8)
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        mistake = f"line {line}: expected UTF-8"
    except tomllib.TOMLDecodeError as error:
        mistake = syntax(str(error), data.decode())
    except ValueError:  # of int(), which is what is left
        mistake = "a number has thousands of digits; expected a shorter one"
    except RecursionError:
        mistake = "brackets are nested hundreds deep; expected fewer"
    raise ConfigError(f"{name}: {mistake}")


def _validated(model: type[T], given: dict[str, Any], name: str) -> T:
    """What the tables mean. Raises ConfigError with a line for each mistake."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        lines = [*mistakes(error, model), *_between_tables(model, given, error)]
    except RecursionError:
        lines = ["brackets are nested hundreds deep; expected fewer"]
    raise ConfigError("\n".join(f"{name}: {line}" for line in lines))


def _between_tables(model: type[T], given: dict[str, Any], error: ValidationError) -> list[str]:
    """The broken rules between tables that have no mistake; pydantic checks none of them next to `error`."""
    broken = {one["loc"][0] for one in error.errors() if one["loc"]}
    try:
        model.model_validate({name: table for name, table in given.items() if name not in broken})
    except ValidationError as between:
        lines = mistakes(between, model) if broken else []
        return [line for line in lines if not any(f"{table}." in line for table in broken)]
    return []
