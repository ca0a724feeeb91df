"""Checks whether JSON is a dashboard, by the types that Grafana generates from its schema (grafana-foundation-sdk)."""

import enum
import json
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def mistakes(dashboard: Mapping[str, Any]) -> list[str]:
    """Return the mistakes, a line each: keys that the schema lacks, and values of a wrong type."""
    register_default_plugins()
    return _mistakes(dict(dashboard), Dashboard, "dashboard")


def _mistakes(given: dict[str, Any], model: Any, where: str) -> list[str]:  # noqa: ANN401 - one of the generated classes
    decoded = model.from_json(given)
    known = json.loads(json.dumps(decoded, cls=JSONEncoder))
    return [*_unknown(given, known, where), *_misfits(decoded, model, where)]


def _unknown(given: Any, known: Any, where: str) -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield keys that the decoder does not know: it drops them, so they are missing after encoding."""
    if isinstance(given, Mapping) and isinstance(known, Mapping):
        yield from (f"{where}.{key}: no such key" for key in given.keys() - known.keys())
        for key in given.keys() & known.keys():
            yield from _unknown(given[key], known[key], f"{where}.{key}")
    elif isinstance(given, list) and isinstance(known, list):
        for number, (one, other) in enumerate(zip(given, known, strict=True)):
            yield from _unknown(one, other, f"{where}[{number}]")
    elif given != known:
        yield f"{where}: {given!r} is read as {known!r}"


def _misfits(value: Any, expected: Any, where: str) -> list[str]:  # noqa: ANN401 - any value, any type
    """Yield values of a wrong type: the decoder keeps any value, but its annotations have the types."""
    if hasattr(value, "to_json"):
        return [
            mistake
            for name, hint in get_type_hints(type(value)).items()
            for mistake in _misfits(getattr(value, name), hint, f"{where}.{name}")
        ]
    if hasattr(expected, "from_json") and isinstance(value, dict):  # the decoder leaves some parts as they are
        return _mistakes(value, expected, where)
    origin, inner = get_origin(expected), get_args(expected)
    if origin in {Union, types.UnionType}:
        tried = [_misfits(value, choice, where) for choice in inner]
        return [] if [] in tried else [mistake for found in tried for mistake in found]
    if origin is list and isinstance(value, list):
        return [mistake for one in value for mistake in _misfits(one, inner[0], f"{where}[]")]
    if origin is dict and isinstance(value, dict):
        return [mistake for key, one in value.items() for mistake in _misfits(one, inner[1], f"{where}[{key}]")]
    return [] if _fits(value, expected) else [f"{where}: {value!r} is no {expected}"]


def _fits(value: Any, expected: Any) -> bool:  # noqa: ANN401 - any value, any type
    if get_origin(expected) is Literal:
        return value in get_args(expected)
    if not isinstance(expected, type):
        return expected is Any
    if issubclass(expected, enum.Enum):
        return value in [one.value for one in expected]
    if isinstance(value, bool) and expected is not bool:
        return expected is object
    return isinstance(value, (int, float) if expected is float else expected)
