"""How the configuration writes sizes, durations, numbers and the like: text to value and back; it knows no key.

Each `Kind` says in one phrase what it expects, which is at once the error a user reads and the documentation. Those of
addresses and paths are in `places`.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

Toml = str | int | list[str]
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
N = TypeVar("N", int, float)

_SIZES = {"GiB": 2**30, "GB": 10**9, "MiB": 2**20, "MB": 10**6, "KiB": 2**10, "KB": 10**3, "B": 1}
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_QUANTITY = re.compile(r"([0-9]{1,15}) ?([A-Za-z]{1,3})", re.ASCII)
_SECONDS_UP_TO = 60_000  # "60s" and not "1m": the longest that people write in seconds


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """One kind of value: what is `expected` (a phrase), how it is read from TOML and how it is shown there.

    `read` raises ValueError, with a text of its own where that tells more than `expected`.
    """

    expected: str
    read: Callable[[object], T]
    show: Callable[[T], Toml]

    def parse(self, value: object) -> T:
        """The value; ValueError fit for a user."""
        try:
            return self.read(value)
        except ValueError as error:
            raise ValueError(str(error) or f"expected {self.expected}") from None

    def __get_pydantic_core_schema__(self, _source: object, _handler: object) -> "CoreSchema":
        """Makes `Annotated[type, kind]` a field that pydantic reads with `parse`; called by pydantic alone."""
        from pydantic_core import core_schema  # noqa: PLC0415 - a process with settings needs no pydantic

        return core_schema.no_info_plain_validator_function(self.parse)


def toml(value: Toml) -> str:
    """The value as TOML (its basic strings are those of JSON, but for U+007F)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def size(low: str, high: str) -> Kind[int]:
    """Bytes, from `low` to `high`; a plain integer is bytes too."""
    lowest, highest = parse_size(low), parse_size(high)

    def read(value: object) -> int:
        return _within(parse_size(value), lowest, highest)

    return Kind(f'a size such as "1MiB", from {low} to {high}', read, show_size)


def parse_size(value: object) -> int:
    """Bytes of `"512KiB"`, `"100MB"` or an integer; ValueError without a text."""
    return value if isinstance(value, int) and not isinstance(value, bool) else _quantity(value, _SIZES)


def show_size(value: int) -> str:
    """Bytes in the largest unit that shows them exactly."""
    return _shown(value, _SIZES)


def duration(low: str, high: str) -> Kind[float]:
    """Seconds, from `low` to `high`."""
    lowest, highest = parse_duration(low), parse_duration(high)

    def read(value: object) -> float:
        return _within(parse_duration(value), lowest, highest)

    return Kind(f'a duration such as "60s", from {low} to {high}', read, show_duration)


def parse_duration(value: object) -> float:
    """Seconds of `"60s"`, `"5m"`, `"1h"` or `"500ms"`; ValueError without a text."""
    return _quantity(value, _MILLISECONDS) / 1000


def show_duration(seconds: float) -> str:
    """Seconds in the largest unit that shows them exactly; up to a minute in seconds."""
    units = {"s": 1000, "ms": 1} if seconds * 1000 <= _SECONDS_UP_TO else _MILLISECONDS
    return _shown(round(seconds * 1000), units) if seconds else "0s"


def count(low: int, high: int) -> Kind[int]:
    """A whole number from `low` to `high`."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError  # noqa: TRY004 - one kind of error for all that a user can write
        return _within(value, low, high)

    return Kind(f"a whole number from {low} to {high}", read, int)


def choice(names: type[E]) -> Kind[E]:
    """One of the members of an enum."""
    expected = "one of " + ", ".join(f'"{name}"' for name in names)

    def read(value: object) -> E:
        if string(value) not in set(names):
            raise ValueError
        return names(string(value))

    return Kind(expected, read, str)


def _within(value: N, low: N, high: N) -> N:
    if not low <= value <= high:
        raise ValueError
    return value


def _quantity(value: object, units: dict[str, int]) -> int:
    found = _QUANTITY.fullmatch(string(value))
    if found is None or found[2] not in units:
        raise ValueError
    return int(found[1]) * units[found[2]]


def _shown(value: int, units: dict[str, int]) -> str:
    smallest = [*units][-1]
    unit = next((unit for unit, worth in units.items() if value and value % worth == 0), smallest)
    return f"{value // units[unit]}{unit}"


def string(value: object) -> str:
    """The value itself, if it is a text; otherwise ValueError without words of its own."""
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - as in `count`
    return value


def _mode(value: object) -> int:
    if not re.fullmatch("0?[0-7]{3}", string(value)):
        raise ValueError
    return int(string(value), 8)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - as in `count`
    return value


def _name(value: object) -> str:
    """The C library takes no NUL in one, and a terminal nothing that is no character."""
    if not string(value).isprintable():
        raise ValueError
    return string(value)


MODE = Kind('a file mode such as "0660"', _mode, lambda mode: f"{mode:04o}")
FLAG = Kind("true or false", _flag, bool)
NAME = Kind("a name, or an empty text for none", _name, str)
