"""Sizes, durations, numbers and names in the configuration: text to value and back; it knows no key.

A `Notation` stands in the annotation of a field and defines how pydantic reads, writes and describes it. Those of
addresses and paths are in `places`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic_core import CoreSchema, core_schema

Toml = str | int | float | list[Any] | dict[str, Any]
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
N = TypeVar("N", int, float)

_SIZES = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "KiB": 2**10, "KB": 10**3, "B": 1}
_MILLISECONDS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_QUANTITY = re.compile(r"([0-9]{1,15}) ?([A-Za-z]{1,3})", re.ASCII)
_PASSWORD = re.compile(r"(://[^:/@\s]*):.*@")
_BARE = re.compile("[A-Za-z0-9_-]+")
_LONGEST = 100  # characters of a value that are shown: about a line
_LAST_OF_FOUR = 0xFFFF  # the last character that four digits can name
_SECONDS_UP_TO = 60_000  # milliseconds; "60s" and not "1m": the longest that people write in seconds


@dataclass(frozen=True, slots=True)
class Notation(Generic[T]):
    """How a value is written: the phrase of what is `expected`, from TOML (`read`), to TOML (`show`), JSON Schema.

    `expected` stands in errors and in the documentation. `read` raises ValueError, with a text only where that
    explains more than `expected`.
    """

    expected: str
    read: Callable[[object], T]
    show: Callable[[T], Toml]
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})

    def parse(self, value: object) -> T:
        """The value. Raises ValueError with a text for the user."""
        try:
            return self.read(value)
        except ValueError as error:
            raise ValueError(str(error) or f"expected {self.expected}") from None

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> CoreSchema:
        """Make pydantic read and write a field `Annotated[type, notation]`."""
        shown = core_schema.plain_serializer_function_ser_schema(self.show)
        return core_schema.no_info_plain_validator_function(self.parse, serialization=shown)

    def __get_pydantic_json_schema__(self, _schema: object, _handler: object) -> dict[str, Any]:
        """Describe such a field in the JSON Schema."""
        return {**self.schema}


def toml(value: Toml) -> str:
    r"""The value as TOML, on one line; in its strings, which are those of JSON, no control character is left."""
    match value:
        case dict():
            pairs = (f"{_key(key)} = {toml(one)}" for key, one in value.items())
            return f"{{ {', '.join(pairs)} }}" if value else "{}"
        case list():
            return f"[{', '.join(map(toml, value))}]"
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else "".join(one if one.isprintable() else _escape(one) for one in text)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml(name)


def shortened(given: object) -> str:
    """What the user wrote, close enough to find it in the file; cut, because it may be long. No password of a URL."""
    try:
        text = toml(given)  # type: ignore[arg-type]  # any TOML value
    except TypeError:  # JSON has no dates
        text = str(given)
    except ValueError:  # Python writes no number with thousands of digits, though it reads one in hexadecimal
        return "a number with thousands of digits"
    text = without_password(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def without_password(text: str) -> str:
    """The text with `***` for the password of a URL in it."""
    return _PASSWORD.sub(r"\1:***@", text)


def _escape(character: str) -> str:
    return f"\\U{ord(character):08x}" if ord(character) > _LAST_OF_FOUR else f"\\u{ord(character):04x}"


def size(low: str, high: str) -> Notation[int]:
    """Bytes, from `low` to `high`; a plain integer is bytes too."""
    lowest, highest = parse_size(low), parse_size(high)

    def read(value: object) -> int:
        return _within(parse_size(value), lowest, highest)

    number = {"type": "integer", "minimum": lowest, "maximum": highest}
    schema = {"anyOf": [{"type": "string", "pattern": _pattern(_SIZES)}, number]}
    return Notation(f'a size such as "1MiB", from {low} to {high}', read, show_size, schema)


def parse_size(value: object) -> int:
    """Bytes of `"512KiB"`, `"100MB"` or an integer; ValueError without a text."""
    return value if isinstance(value, int) and not isinstance(value, bool) else _quantity(value, _SIZES)


def show_size(value: int) -> str:
    """Bytes in the largest unit that shows them exactly."""
    return _shown(value, _SIZES)


def duration(low: str, high: str) -> Notation[float]:
    """Seconds, from `low` to `high`."""
    lowest, highest = parse_duration(low), parse_duration(high)

    def read(value: object) -> float:
        return _within(parse_duration(value), lowest, highest)

    schema = {"type": "string", "pattern": _pattern(_MILLISECONDS)}
    return Notation(f'a duration such as "60s", from {low} to {high}', read, show_duration, schema)


def parse_duration(value: object) -> float:
    """Seconds of `"60s"`, `"5m"`, `"1h"`, `"30d"` or `"500ms"`; ValueError without a text."""
    return _quantity(value, _MILLISECONDS) / 1000


def show_duration(seconds: float) -> str:
    """Seconds in the largest unit that shows them exactly; up to a minute in seconds."""
    units = {"s": 1000, "ms": 1} if seconds * 1000 <= _SECONDS_UP_TO else _MILLISECONDS
    return _shown(round(seconds * 1000), units) if seconds else "0s"


def count(low: int, high: int) -> Notation[int]:
    """A whole number from `low` to `high`."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - pydantic collects no TypeError
        return _within(value, low, high)

    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Notation(f"a whole number from {low} to {high}", read, int, schema)


def choice(names: type[E]) -> Notation[E]:
    """One of the members of an enum."""
    expected = "one of " + ", ".join(f'"{name}"' for name in names)

    def read(value: object) -> E:
        if string(value) not in set(names):
            raise ValueError
        return names(string(value))

    return Notation(expected, read, str, {"enum": [str(name) for name in names]})


def optional(notation: Notation[T]) -> Notation[T | None]:
    """The same value, or an empty string, which means None."""

    def read(value: object) -> T | None:
        return None if value == "" else notation.read(value)

    def show(value: T | None) -> Toml:
        return "" if value is None else notation.show(value)

    schema = {"anyOf": [{"const": ""}, notation.schema]}
    return Notation(f"{notation.expected}, or an empty string for none", read, show, schema)


def string(value: object) -> str:
    """The value itself, if it is a text; otherwise ValueError without a text."""
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - as in `count`
    return value


def _within(value: N, low: N, high: N) -> N:
    if not low <= value <= high:
        raise ValueError
    return value


def _pattern(units: dict[str, int]) -> str:
    return f"^[0-9]{{1,15}} ?({'|'.join(units)})$"


def _quantity(value: object, units: dict[str, int]) -> int:
    found = _QUANTITY.fullmatch(string(value))
    if found is None or found[2] not in units:
        raise ValueError
    return int(found[1]) * units[found[2]]


def _shown(value: int, units: dict[str, int]) -> str:
    smallest = [*units][-1]
    unit = next((unit for unit, worth in units.items() if value and value % worth == 0), smallest)
    return f"{value // units[unit]}{unit}"


def _mode(value: object) -> int:
    if not re.fullmatch("0?[0-7]{3}", string(value)):
        raise ValueError
    return int(string(value), 8)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - as in `count`
    return value


def _name(value: object) -> str:
    """A name without NUL, which the C library does not take, and without control characters for the terminal."""
    if not string(value).isprintable():
        raise ValueError
    return string(value)


def _label(value: object) -> str:
    if not re.fullmatch("[a-z0-9-]{1,20}", string(value)):
        raise ValueError
    return string(value)


MODE = Notation(
    'a file mode such as "0660"', _mode, lambda mode: f"{mode:04o}", {"type": "string", "pattern": "^0?[0-7]{3}$"}
)
FLAG = Notation("true or false", _flag, bool, {"type": "boolean"})
NAME = Notation("a name, or an empty string for none", _name, str)
LABEL = Notation(
    "1 to 20 lower-case letters, digits and dashes", _label, str, {"type": "string", "pattern": "^[a-z0-9-]{1,20}$"}
)
