"""What a field of a log line is: its type, its bounds, and whether a value keeps them; `events` has the fields."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from miltscan.telemetry.log import LINE_LIMIT


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LINE_LIMIT and value.isprintable()


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_integer(value) or isinstance(value, float)


def _is_time(value: object) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


class Type(Enum):
    """What a JSON value is; `value` is its name in the documentation."""

    TEXT = "text"
    TEXTS = "list of texts"
    INTEGER = "integer"
    NUMBER = "number"
    TIME = "time"
    OBJECTS = "list of objects"

    @property
    def fits(self) -> Callable[[object], bool]:
        """Tells whether a value is of this type."""
        return _CHECKS[self]


_CHECKS: dict[Type, Callable[[object], bool]] = {
    Type.TEXT: _is_text,
    Type.TEXTS: _is_list_of_texts,
    Type.INTEGER: _is_integer,
    Type.NUMBER: _is_number,
    Type.TIME: _is_time,
    Type.OBJECTS: lambda value: isinstance(value, list),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `values`: all that it can be; `null`: it may be null; `optional`: it may be missing."""

    name: str
    type: Type
    meaning: str
    bound: str = ""
    values: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    null: bool = False
    optional: bool = False
    parts: tuple["Field", ...] = ()

    def deviation(self, value: object) -> str | None:
        """What is wrong with a value of this field; None if nothing."""
        if value is None:
            return None if self.null else f"{self.name} is null"
        if not self.type.fits(value):
            return f"{self.name} = {value!r:.100} is no {self.type.value}"
        if self.values and value not in self.values:
            return f"{self.name} = {value!r:.100} is none of {', '.join(self.values)}"
        if self.type is Type.OBJECTS:
            return next((wrong for item in _objects(value) for wrong in deviations_of(item, self.parts)), None)
        return self._out_of_bounds(value)

    def _out_of_bounds(self, value: Any) -> str | None:  # noqa: ANN401 - of the type that was just looked at
        amount = len(value) if isinstance(value, list) else value
        low = self.least is not None and amount < self.least
        high = self.most is not None and amount > self.most
        return f"{self.name} = {value!r:.100} is out of bounds" if low or high else None


def _objects(value: object) -> list[Mapping[str, object]]:
    return value if isinstance(value, list) else []


def deviations_of(values: Mapping[str, object], fields: tuple[Field, ...]) -> Iterator[str]:
    """Where values are not as these fields say, a text each."""
    known = {field.name: field for field in fields}
    yield from (f"{name} is not documented" for name in values.keys() - known.keys())
    yield from (f"{name} is missing" for name, field in known.items() if name not in values and not field.optional)
    for name in values.keys() & known.keys():
        if wrong := known[name].deviation(values[name]):
            yield wrong
