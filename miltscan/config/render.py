"""The settings as people and programs read them, and what a reload can change: all derived from the models."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any, TypeVar, get_args

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema, WithDefaultSchema

from miltscan.config.meanings import meanings
from miltscan.config.settings import Settings
from miltscan.config.table import RESTART, Table
from miltscan.config.units import Notation, toml

T = TypeVar("T", bound=Table)


@dataclass(frozen=True, slots=True)
class ShownKey:
    """One key and its value in some settings; `value` and `default` as TOML, the latter empty where it is required."""

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
    """Every key, in the order of the tables; `engine[1].servers` of `[[engine]]` tables."""
    return [*_keys(settings)]


def _keys(table: Table, path: str = "") -> Iterator[ShownKey]:
    written = table.model_dump(mode="json")
    defaults = type(table).model_construct().model_dump(mode="json")
    for name, field in type(table).model_fields.items():
        match getattr(table, name):
            case Table() as inner:
                yield from _keys(inner, f"{path}.{name}".removeprefix("."))
            case dict() as tables if not any(isinstance(one, Notation) for one in field.metadata):
                for key, inner in tables.items():
                    yield from _keys(inner, f"{path}.{name}.{key}")
            case (Table(), *_) as several:
                for position, inner in enumerate(several, 1):
                    yield from _keys(inner, f"{name}[{position}]")
            case _ if path:
                default = toml(defaults[name]) if name in defaults else ""
                meaning, restart = meanings(type(table))[name].removesuffix("."), RESTART in field.metadata
                yield ShownKey(path, name, toml(written[name]), default, _expected(field), meaning, restart)


def _expected(field: FieldInfo) -> str:
    """The phrase of the field's notation; of a list that of its items, of an engine's type the only choice."""
    for one in field.metadata:
        if isinstance(one, Notation):
            return one.expected
    (inner, *_) = get_args(field.annotation)
    return f"a list, each item {inner.__metadata__[0].expected}" if hasattr(inner, "__metadata__") else toml(inner)


def settings_toml(settings: Settings) -> str:
    """The settings as a file that gives them back; meaning, what is expected and default stand as comments."""
    tables = groupby(keys(settings), lambda key: key.table)
    return "\n".join(f"{_head(name)}\n{''.join(map(_toml_lines, group))}" for name, group in tables)


def _head(table: str) -> str:
    name, _, position = table.partition("[")
    return f"[[{name}]]" if position else f"[{name}]"


def _toml_lines(key: ShownKey) -> str:
    default = f"default {key.default}" if key.default else "required"
    restart = f"; {RESTART}" if key.restart else ""
    return f"# {key.meaning}: {key.expected}; {default}{restart}\n{key.name} = {key.value}\n"


def settings_fields(settings: Settings) -> dict[str, Any]:
    """The settings for JSON, with the keys and the notation of the file."""
    unset = {name for name in ("clamd", "engine") if not getattr(settings, name)}
    return settings.model_dump(mode="json", exclude=unset)


class _Schema(GenerateJsonSchema):
    """Defaults in the notation of the file; no titles, which an editor would show above each description."""

    def field_title_should_be_set(self, _schema: object) -> bool:
        return False

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        table: type[Table] = schema["cls"]
        defaults = table.model_construct().model_dump(mode="json")
        for name, field in described["properties"].items():
            default = defaults.get(name)
            if text := meanings(table).get(name):
                field["description"] = text
            forbidden = default == [] and "minItems" in field  # `engine`, which may be missing but not empty
            is_table = isinstance(default, dict) and "$ref" in str(field)
            if default is not None and not is_table and not forbidden:
                field["default"] = default
        return described


def settings_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the file; editors complete and check it with this."""
    schema = Settings.model_json_schema(schema_generator=_Schema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def fingerprint(settings: Settings) -> str:
    """The first 12 digits of the SHA-256 of all values: the same for two files that mean the same."""
    meant = settings.model_copy(update={"clamd": None, "engine": settings.engines})
    return sha256(meant.model_dump_json().encode()).hexdigest()[:12]


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The keys that differ and that a running service cannot change."""
    before = {str(key): key.value for key in keys(old) if key.restart}
    after = {str(key): key.value for key in keys(new) if key.restart}
    return [name for name, value in before.items() if after[name] != value]


def without_restart(old: T, new: T) -> T:
    """The new settings, except for the keys that a running service cannot change, which stay as they are."""
    changes: dict[str, object] = {}
    for name, field in type(new).model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if RESTART in field.metadata:
            changes[name] = before
        elif isinstance(before, Table) and isinstance(after, Table):
            changes[name] = without_restart(before, after)
    return new.model_copy(update=changes)
