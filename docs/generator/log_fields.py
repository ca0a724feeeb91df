"""The type of a field of a log line: its type and bounds, and whether a value is within them. It defines no field."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from miltscan.telemetry.log_line import LINE_LIMIT


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LINE_LIMIT and value.isprintable()


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Type(Enum):
    """The type of a JSON value; `value` is its name in the documentation."""

    TEXT = "text"
    TEXTS = "list of texts"
    INTEGER = "integer"
    NUMBER = "number"
    TIME = "time"
    OBJECTS = "list of objects"

    @property
    def fits(self) -> Callable[[object], bool]:
        """Return whether a value is of this type."""
        return _CHECKS[self]


_CHECKS: dict[Type, Callable[[object], bool]] = {
    Type.TEXT: _is_text,
    Type.TEXTS: lambda value: isinstance(value, list) and all(map(_is_text, value)),
    Type.INTEGER: _is_integer,
    Type.NUMBER: lambda value: _is_integer(value) or isinstance(value, float),
    Type.TIME: lambda value: isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None,
    Type.OBJECTS: lambda value: isinstance(value, list),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `values` lists all its values if they are few; it may be null with `null`, missing with `optional`."""

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
        """Return how a value of this field deviates from its definition; None if it does not."""
        if value is None:
            return None if self.null else f"{self.name} is null"
        if not self.type.fits(value):
            return f"{self.name} = {value!r:.100}: expected {self.type.value}"
        if self.values and value not in self.values:
            return f"{self.name} = {value!r:.100}: expected one of {', '.join(self.values)}"
        if isinstance(value, list) and self.type is Type.OBJECTS:
            return next((wrong for item in value for wrong in deviations_of(item, self.parts)), None)
        return self._out_of_bounds(value)

    def _out_of_bounds(self, value: Any) -> str | None:  # noqa: ANN401 - its type was checked by the caller
        amount = len(value) if isinstance(value, list) else value
        low = self.least is not None and amount < self.least
        high = self.most is not None and amount > self.most
        return f"{self.name} = {value!r:.100} is out of bounds" if low or high else None


def deviations_of(values: Mapping[str, object], fields: tuple[Field, ...]) -> Iterator[str]:
    """Yield how values deviate from these fields, a text each."""
    known = {field.name: field for field in fields}
    yield from (f"{name} is not documented" for name in values.keys() - known.keys())
    yield from (f"{name} is missing" for name, field in known.items() if name not in values and not field.optional)
    for name in values.keys() & known.keys():
        if wrong := known[name].deviation(values[name]):
            yield wrong
