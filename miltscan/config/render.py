"""The configuration as people read it: its keys with value, default and meaning, as TOML or as a Markdown table."""

from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby

from miltscan.config import table
from miltscan.config.settings import Settings
from miltscan.config.units import toml


@dataclass(frozen=True, slots=True)
class ShownKey:
    """One key and its value in some settings; `value` and `default` as TOML."""

    table: str
    name: str
    value: str
    default: str
    expected: str
    meaning: str
    restart: bool

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"


def keys(settings: Settings) -> list[ShownKey]:
    """Every key, in the order of the tables."""
    return [_key(name, declared, value) for name, declared, value in table.keys(settings)]


def _key(dotted: str, declared: table.Declared, value: object) -> ShownKey:
    path, _, name = dotted.rpartition(".")
    kind = declared.kind
    shown, default = toml(kind.show(value)), toml(declared.default)
    return ShownKey(path, name, shown, default, kind.expected, declared.meaning, declared.restart)


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The keys that differ and that a running service cannot change."""
    return [str(was) for was, now in zip(keys(old), keys(new), strict=True) if was != now and was.restart]


def settings_toml(settings: Settings) -> str:
    """The settings as a file that gives them back; meaning, what is expected and default stand as comments."""
    tables = groupby(keys(settings), lambda key: key.table)
    return "\n".join(f"[{name}]\n{''.join(map(_toml_lines, group))}" for name, group in tables)


def fingerprint(settings: Settings) -> str:
    """The first 12 digits of the SHA-256 of all values: the same for two files that mean the same."""
    values = "".join(f"{key}={key.value}\n" for key in keys(settings))
    return sha256(values.encode()).hexdigest()[:12]


def _toml_lines(key: ShownKey) -> str:
    restart = "; a change needs a restart" if key.restart else ""
    return f"# {key.meaning}: {key.expected}; default {key.default}{restart}\n{key.name} = {key.value}\n"


def as_markdown(settings: Settings) -> str:
    """The keys as a Markdown table."""
    rows = ["| key | default | meaning | expected |", "| --- | --- | --- | --- |"]
    return "\n".join([*rows, *map(_markdown_row, keys(settings))]) + "\n"


def _markdown_row(key: ShownKey) -> str:
    mark = " ↻" if key.restart else ""
    return f"| `{key}`{mark} | `{key.default}` | {key.meaning} | {key.expected} |"
