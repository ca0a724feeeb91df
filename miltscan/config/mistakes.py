"""The words for mistakes in a configuration file: one line each, naming the key, its value, and what is expected."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from miltscan.config.units import toml

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_LONGEST = 100  # characters of a value that are shown: about a line


def syntax(text: str, document: str) -> str:
    """`line 3, column 5: ...` from the TOML parser's `... (at line 3, column 5)` or `... (at end of document)`."""
    found = re.fullmatch(r"(.*) \(at (?:(line .*)|end of document)\)", text, re.DOTALL)
    message, place = (found[1], found[2]) if found else (text, None)
    return f"{place or f'line {len(document.splitlines())}'}: {message}"


def mistakes(error: "ValidationError", known: Sequence[str]) -> list[str]:
    """A line for each mistake that pydantic found; `known` are the dotted names of all keys and tables."""
    return [_line(one, known) for one in error.errors()]


def _line(error: "ErrorDetails", known: Sequence[str]) -> str:
    name = ".".join(map(str, error["loc"]))
    match error["type"]:
        case "clash":
            return error["msg"]
        case "unexpected_keyword_argument":
            return f"key {_bare(name)}: unknown key{_nearest(name, known)}"
        case "dataclass_type":
            return f"key {name} = {_shown(error['input'])}: expected a table [{name}]"
        case _:
            return f"key {name} = {_shown(error['input'])}: {error['ctx']['error']}"


def _bare(name: str) -> str:
    return name if name.isprintable() else toml(name)


def _shown(given: object) -> str:
    """What the user wrote, near enough to be found again; cut, because it may be a page."""
    try:
        text = toml(given)  # type: ignore[arg-type]  # whatever TOML holds; a date is no JSON
    except TypeError:
        text = str(given)
    except ValueError:  # Python writes no number of thousands of digits, though it reads one in hexadecimal
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _nearest(name: str, known: Sequence[str]) -> str:
    """`, did you mean ...?`: a key of the same name elsewhere, or the key that is written most alike."""
    leaf = name.rpartition(".")[2]
    same = [key for key in known if key.rpartition(".")[2] == leaf]
    near = same or get_close_matches(name, known, n=1) or [key for key in known if _alike(key, leaf)]
    return f", did you mean {near[0]}?" if near else ""


def _alike(key: str, leaf: str) -> bool:
    return bool(get_close_matches(leaf, [key.rpartition(".")[2]]))
