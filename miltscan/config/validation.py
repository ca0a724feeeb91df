"""Validates what a file holds, with pydantic, all mistakes at once; imported only where that is done.

To import it takes 11 MB, which is why the service does it in a process that ends at once: see `apart`.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from miltscan.config.mistakes import mistakes
from miltscan.config.table import Table, names
from miltscan.errors import ConfigError

S = TypeVar("S", bound=Table)


def validated(table: type[S], given: Mapping[str, object]) -> S:
    """The table of what a file holds. Raises ConfigError with a line for each mistake."""
    try:
        return cast("S", _adapter(table).validate_python(given))  # type: ignore[arg-type]  # mypy: a class were not hashable
    except ValidationError as error:
        raise ConfigError("\n".join(mistakes(error, [*names(table)]))) from None


@cache
def _adapter(table: type[Table]) -> TypeAdapter[Any]:
    return TypeAdapter(table)


def without_clash(schema: CoreSchema) -> CoreSchema:
    """The schema of a table that also asks it for a clash of its keys, once each of them is right."""
    return core_schema.no_info_after_validator_function(_agreed, schema)


def _agreed(table: Table) -> Table:
    if line := table.clash():
        raise PydanticCustomError("clash", "{line}", {"line": line})
    return table
