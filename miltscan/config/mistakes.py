"""The text of mistakes in a configuration file: one line each with the key, its value and what is expected.

Positions in lists count from 1, as lines do: `engine[2].servers[1]`.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from miltscan.config import units
from miltscan.config.units import toml


def syntax(text: str, document: str) -> str:
    """`line 3, column 5: ...` from the TOML parser's `... (at line 3, column 5)` or `... (at end of document)`."""
    found = re.fullmatch(r"(.*) \(at (?:(line .*)|end of document)\)", text, re.DOTALL)
    message, place = (found[1], found[2]) if found else (text, None)
    return f"{place or f'line {len(document.splitlines())}'}: {message}"


def mistakes(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """A line for each mistake that pydantic found in what should be `model`."""
    known = [*_names(model)]
    errors = [one for one in error.errors(include_url=False) if not _follows(one)]
    return [line for one in errors for line in _line(one, known).split("\n")]


def _follows(error: ErrorDetails) -> bool:
    """Whether a list is too short only because pydantic does not count the items with a mistake."""
    return error["type"] == "too_short" and len(error["input"]) >= error["ctx"]["min_length"]


def _line(error: ErrorDetails, known: Sequence[str]) -> str:
    name, given = _dotted(error["loc"], known), error["input"]
    match error["type"]:
        case "conflict":
            return _below(name, error["msg"])
        case "extra_forbidden":
            return f"{name if name.isprintable() else toml(name)}: unknown key{_nearest(name, known)}"
        case "missing":
            return f"{name}: required key is missing"
        case "union_tag_not_found":
            return f"{name}.type: required key is missing"
        case "union_tag_invalid":
            name, given = f"{name}.type", error["ctx"]["tag"]
    expected = _expected(error, name, known)
    if expected.startswith((".", "[")):  # lines about what is below the key
        return _below(name, expected)
    return f"{name} = {units.shortened(given)}: {expected}"


def _below(name: str, lines: str) -> str:
    """Lines whose places are below this key, or whole ones of their own; `.:` is about the key itself."""
    return "\n".join(
        f"{name}{line.replace('.:', ':', 1)}" if line.startswith((".", "[")) else line for line in lines.split("\n")
    )


def _expected(error: ErrorDetails, name: str, known: Sequence[str]) -> str:
    """What would be valid: mostly the text of a notation, otherwise that of a check of pydantic's own."""
    context = error.get("ctx", {})
    match error["type"]:
        case "model_type" | "model_attributes_type":
            table, in_list, _ = name.partition("[")
            return f"expected a table [[{table}]]" if in_list else f"expected a table [{table}]"
        case "dict_type":
            return f"expected tables [{name}.NAME]"
        case "tuple_type":
            return (
                f"expected tables [[{name}]]" if any(key.startswith(f"{name}.") for key in known) else "expected a list"
            )
        case "too_short" | "too_long":
            low, high = context.get("min_length"), context.get("max_length")
            return f"expected at least {low} item" if error["type"] == "too_short" else f"expected at most {high} items"
        case "literal_error" | "union_tag_invalid":
            return f"expected {context.get('expected') or context.get('expected_tags')}".replace("'", '"')
        case _:
            return str(context.get("error") or error["msg"])


def _dotted(place: Sequence[str | int], known: Sequence[str]) -> str:
    """A place in the file as a person writes it; pydantic's names of engine types, which the file has not, left out."""
    plain = name = ""
    for part in place:
        if isinstance(part, int):
            name += f"[{part + 1}]"
        elif name.endswith("]") and f"{plain}.{part}" not in known and part != place[-1]:
            continue
        else:
            plain, name = f"{plain}.{part}".removeprefix("."), f"{name}.{part}".removeprefix(".")
    return name


def _names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all keys and tables, without positions in lists."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for table in _tables(field.annotation):
            yield from _names(table, f"{prefix}{name}.")


def _tables(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - an annotation may be anything
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _tables(inner)


def _nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean ...?`: the key written most alike in the same table, the same key elsewhere, or the next best."""
    plain = re.sub(r"\[\d+\]", "", name)
    table, _, leaf = plain.rpartition(".")
    if table not in known and (named := table.rpartition(".")[0]) in known:
        table = named  # a table whose name is free, such as quarantine.area.NAME
    leaves = {key: key.rpartition(".")[2] for key in known if key != plain}
    if beside := get_close_matches(leaf, [leaves[key] for key in leaves if key.rpartition(".")[0] == table], 1):
        return f"; did you mean {name.removesuffix(leaf)}{beside[0]}?"
    near = [key for key in leaves if leaves[key] == leaf] or [
        key for key in leaves if get_close_matches(leaf, [leaves[key]])
    ]
    return f"; did you mean {near[0]}?" if near else ""
