"""What becomes of another scanner's options: the fates, and the draft that they add up to. It knows no format.

A rule takes the values of one option and gives an `Outcome`; it raises ValueError, with what it expected, for a value
that it does not understand. Our own configuration has the last word: what it would refuse is not taken over.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from miltscan.config.load import parse_settings
from miltscan.config.units import Toml, toml
from miltscan.core.clamav_conf import OFF
from miltscan.errors import ConfigError

Rule = Callable[[Sequence[str]], "Conversion"]
_SITE_VALUE = re.compile(r"[\w./:@\[\] -]+", re.ASCII)  # what m4 takes as it is: no quotes, no parentheses, no commas


class Fate(StrEnum):
    """What becomes of an option; the order is that of the report, what wants an administrator's eye first."""

    UNKNOWN = "Not understood, and not taken over"
    CHANGED = "Taken over with a difference"
    NONE = "No counterpart"
    ELSEWHERE = "To be set elsewhere"
    SAME = "Taken over"
    BUILT_IN = "Not needed: always so"
    UNUSED = "Not used, nothing to do"
    UNREAD = "Not read: not known to be about the way of mail"


@dataclass(frozen=True, slots=True)
class Conversion:
    """The fate of one option: why, the keys of miltscan.toml by dotted name, the SITE_ settings of sendmail/."""

    fate: Fate
    why: str = ""
    settings: Mapping[str, Toml] = field(default_factory=dict)
    site: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """One option as it stood in the file (`given`, on one line) and what becomes of it."""

    given: str
    outcome: Conversion


@dataclass(frozen=True, slots=True)
class Draft:
    """All that one file leads to."""

    rows: tuple[Row, ...]

    @property
    def settings(self) -> dict[str, Toml]:
        """The keys of miltscan.toml."""
        return {key: value for row in self.rows for key, value in row.outcome.settings.items()}

    @property
    def site(self) -> dict[str, str]:
        """The settings of sendmail/."""
        return {name: value for row in self.rows for name, value in row.outcome.site.items()}


def convert(rule: Rule, values: Sequence[str]) -> Conversion:
    """What `rule` makes of `values`, with everything checked that goes into a file; never raises ValueError."""
    try:
        outcome = rule(values)
        _check(outcome)
    except ValueError as error:
        return Conversion(Fate.UNKNOWN, str(error))
    return outcome


def _check(outcome: Conversion) -> None:
    for name, value in outcome.site.items():
        if not _SITE_VALUE.fullmatch(value):
            raise ValueError(f"no value for {name}")
    try:
        parse_settings("".join(f"{key} = {toml(value)}\n" for key, value in outcome.settings.items()).encode(), "")
    except ConfigError as error:
        raise ValueError(str(error).removeprefix(": ")) from None


def always(fate: Fate, why: str) -> Rule:
    """The same for every value."""
    return lambda _values: Conversion(fate, why)


def if_used(fate: Fate, why: str) -> Rule:
    """The same for every value but "off", which leaves nothing to do."""

    def rule(values: Sequence[str]) -> Conversion:
        return Conversion(fate, why) if any(value.lower() not in OFF for value in values) else Conversion(Fate.UNUSED)

    return rule
