"""Actions in the configuration: `reject`, `quarantine`, `quarantine:AREA`; text to value and back."""

from miltscan.config.units import LABEL, Notation, string
from miltscan.core.action import DEFAULT_AREA, WITH_AREA, ActionName, Choice

ELSEWHERE = (ActionName.REDIRECT, ActionName.COPY)
"""The actions of rules that need addresses."""
_NAMES = tuple(name for name in ActionName if name not in ELSEWHERE)
_PLAIN = [f'"{name}"' for name in _NAMES]


def _choice(value: object) -> Choice:
    """`quarantine` alone means the area `default`; `discard` alone keeps no copy."""
    name, colon, area = string(value).partition(":")
    if name not in _NAMES:
        raise ValueError
    action = ActionName(name)
    if colon:
        if action not in WITH_AREA:
            raise ValueError
        return Choice(action, LABEL.read(area))
    return Choice(action, DEFAULT_AREA if action is ActionName.QUARANTINE else "")


def _rule_choice(value: object) -> Choice:
    return Choice(ActionName(string(value))) if value in ELSEWHERE else _choice(value)


CHOICE = Notation(
    f'one of {", ".join(_PLAIN)}, "quarantine:AREA" or "discard:AREA"',
    _choice,
    str,
    {"type": "string", "pattern": f"^({'|'.join(_NAMES)}|({'|'.join(WITH_AREA)}):[a-z0-9-]{{1,20}})$"},
)
RULE_CHOICE = Notation(
    f'{CHOICE.expected}; with the key to "redirect" or "copy"',
    _rule_choice,
    str,
    {"anyOf": [CHOICE.schema, {"enum": [*map(str, ELSEWHERE)]}]},
)
