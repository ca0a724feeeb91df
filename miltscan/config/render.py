"""The configuration as people read it: its keys with value, default and meaning, as TOML or as a Markdown table."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING

from miltscan.config.settings import Settings, Table
from miltscan.config.units import Kind, toml

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class Key:
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


def keys(settings: Settings) -> list[Key]:
    """Every key, in the order of the tables."""
    return [*_keys(settings, "")]


def _keys(table: Table, path: str) -> Iterator[Key]:
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        if isinstance(value, Table):
            yield from _keys(value, f"{path}.{name}".lstrip("."))
        else:
            yield _key(path, name, field, value)


def _key(table: str, name: str, field: "FieldInfo", value: object) -> Key:
    kind = next(item for item in field.metadata if isinstance(item, Kind))
    extra = field.json_schema_extra
    return Key(
        table,
        name,
        toml(kind.show(value)),
        toml(field.default),
        kind.expected,
        field.description or "",
        restart=isinstance(extra, dict) and bool(extra["restart"]),
    )


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The keys that differ and that a running service cannot change."""
    return [str(was) for was, now in zip(keys(old), keys(new), strict=True) if was != now and was.restart]


def as_toml(settings: Settings) -> str:
    """The settings as a file that gives them back; meaning, what is expected and default stand as comments."""
    tables = groupby(keys(settings), lambda key: key.table)
    return "\n".join(f"[{table}]\n{''.join(map(_toml_lines, group))}" for table, group in tables)


def fingerprint(settings: Settings) -> str:
    """The first 12 digits of the SHA-256 of all values: the same for two files that mean the same."""
    values = "".join(f"{key}={key.value}\n" for key in keys(settings))
    return sha256(values.encode()).hexdigest()[:12]


def _toml_lines(key: Key) -> str:
    restart = "; a change needs a restart" if key.restart else ""
    return f"# {key.meaning}: {key.expected}; default {key.default}{restart}\n{key.name} = {key.value}\n"


def as_markdown(settings: Settings) -> str:
    """The keys as a Markdown table."""
    rows = ["| key | default | meaning | expected |", "| --- | --- | --- | --- |"]
    return "\n".join([*rows, *map(_markdown_row, keys(settings))]) + "\n"


def _markdown_row(key: Key) -> str:
    mark = " ↻" if key.restart else ""
    return f"| `{key}`{mark} | `{key.default}` | {key.meaning} | {key.expected} |"
