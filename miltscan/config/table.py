"""A TOML table as a frozen dataclass: how its keys are declared. It reads none: `validation` does, with pydantic.

The dataclasses are the standard library's, so that a process which is only handed settings needs no pydantic.
"""

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast, dataclass_transform

from miltscan.config.units import Kind, Toml

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

T = TypeVar("T")

_KEY = "key"


@dataclass(frozen=True, slots=True)
class Declared:
    """What is said of a key: how it is written, its default as one would write it, its meaning.

    `restart`: whether a change of it needs a restart.
    """

    kind: Kind[Any]
    default: Toml
    meaning: str
    restart: bool


@dataclass(frozen=True, slots=True)
class _Key:
    default: Toml
    meaning: str
    restart: bool


def key(default: Toml, meaning: str, *, restart: bool = False) -> Any:  # noqa: ANN401 - as dataclasses.field
    """A key of a table, as the value of its field; see `Declared`. Its kind is in the field's annotation."""
    return _Key(default, meaning, restart)


class Table:
    """A table: its subclasses are made dataclasses by `table`, of keys, each by `key`, and of tables."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "arbitrary_types_allowed": True}

    def clash(self) -> str | None:
        """What is wrong with keys that are right each, but not together, as the whole line to be told."""
        return None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: "GetCoreSchemaHandler") -> "CoreSchema":  # noqa: ANN401
        """Has pydantic ask for a clash where each key is right; called by pydantic alone."""
        from miltscan.config import validation  # noqa: PLC0415 - see above

        return validation.without_clash(handler(source))


@dataclass_transform(frozen_default=True, kw_only_default=True)
def table(declared: type[T]) -> type[T]:
    """The class as a frozen dataclass, each key's default read by its kind, as if one had written it."""
    annotations = get_annotations(declared)
    for name, one in [*vars(declared).items()]:
        if isinstance(one, _Key):
            (kind,) = annotations[name].__metadata__
            said = Declared(kind, one.default, one.meaning, one.restart)
            setattr(declared, name, field(default=kind.parse(one.default), metadata={_KEY: said}))
    return dataclass(frozen=True, slots=True, kw_only=True)(declared)


def keys(table: Table) -> Iterator[tuple[str, Declared, Any]]:
    """Name, declaration and value of each key, in their order; those of tables within it by their dotted names."""
    for one in _fields(type(table)):
        value = getattr(table, one.name)
        if isinstance(value, Table):
            yield from ((f"{one.name}.{name}", said, inner) for name, said, inner in keys(value))
        else:
            yield one.name, one.metadata[_KEY], value


def names(table: type[Table], prefix: str = "") -> Iterator[str]:
    """The dotted names of all keys and tables."""
    for one in _fields(table):
        yield prefix + one.name
        if _KEY not in one.metadata:
            yield from names(type(cast("Table", one.default)), f"{prefix}{one.name}.")


def _fields(table: type[Table]) -> "tuple[Field[Any], ...]":
    return fields(cast("Any", table))  # each table is a dataclass, which no type can say of subclasses
