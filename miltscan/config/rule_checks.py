"""Mistakes of rules that one of them does not show: engines that do not exist, names twice, rules never reached."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from miltscan.config import units
from miltscan.config.rules import RuleSettings, Side
from miltscan.core.verdict import OWN_VERDICTS


def unknown_engines(rules: Sequence[RuleSettings], engines: Collection[str], filters: Collection[str]) -> Iterator[str]:
    """Yield a line for each engine that a condition names and that does not exist: it would never hold.

    `filters` are the names of the anti-spam engines, which alone give a score.
    """
    known = {"engine": {*engines, *OWN_VERDICTS}, "score_from": {*filters}}
    for position, one in enumerate(rules, 1):
        tables = one.when or ()
        places = [f"when[{number}]" for number in range(1, len(tables) + 1)] if len(tables) > 1 else ["when"]
        for place, table in (*zip(places, tables, strict=False), ("unless", one.unless or {})):
            for key, name in _engines_named(table):
                if name not in known[key]:
                    kind = "an anti-spam engine" if key == "score_from" else "an engine"
                    yield f"rule[{position}].{place}.{key} = {units.toml(name)}: expected the name of {kind}"


def _engines_named(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    named, scores = table.get("engine", []), table.get("score_from")
    yield from (("engine", name) for name in (named if isinstance(named, list) else [named]))
    yield from (("score_from", name) for name in (scores if isinstance(scores, Mapping) else ()))


def unreachable(rules: Sequence[RuleSettings]) -> Iterator[str]:
    """Yield a line for each name that two rules have, and for each rule behind one that always decides."""
    names = [one.name for one in rules]
    last: dict[Side, str] = {}
    for position, one in enumerate(rules, 1):
        if one.name in names[: position - 1]:
            yield f'rule[{position}].name = "{one.name}": expected a name that no other rule has'
        if one.at in last:
            yield f'rule[{position}]: "{one.name}" is never reached: "{last[one.at]}" before it matches every message'
        elif one.enforce and not one.when and not one.unless:
            last[one.at] = one.name
