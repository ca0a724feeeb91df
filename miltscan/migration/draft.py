"""The conversion of another scanner's options: the possible fates, and the draft of all conversions.

It knows no format. A rule turns the values of one option into a `Conversion`. It raises ValueError, with the expected
form, for a value that it does not understand. A value that miltscan's own configuration rejects is not imported.
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
_SITE_VALUE = re.compile(r"[\w./:@\[\] -]+", re.ASCII)  # what m4 leaves unchanged: no quotes, parentheses or commas


class Fate(StrEnum):
    """What happens to an option, in the order of the report: what an administrator has to check comes first."""

    UNKNOWN = "Not understood, not imported"
    CHANGED = "Imported with a difference"
    NONE = "No counterpart"
    ELSEWHERE = "To be set elsewhere"
    SAME = "Imported"
    BUILT_IN = "Not needed: always the case"
    UNUSED = "Not used, nothing to do"
    UNREAD = "Not read: not known to concern mail"


@dataclass(frozen=True, slots=True)
class Conversion:
    """The fate of one option and the reason, its keys of miltscan.toml, and its SITE_ settings of sendmail/."""

    fate: Fate
    why: str = ""
    settings: Mapping[str, Toml] = field(default_factory=dict)
    site: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DraftRow:
    """One option as the file has it (`given`, on one line) and its conversion."""

    given: str
    conversion: Conversion


@dataclass(frozen=True, slots=True)
class Draft:
    """All conversions of one file."""

    rows: tuple[DraftRow, ...]

    @property
    def settings(self) -> dict[str, Toml]:
        """The keys of miltscan.toml."""
        return {key: value for row in self.rows for key, value in row.conversion.settings.items()}

    @property
    def site(self) -> dict[str, str]:
        """The settings of sendmail/."""
        return {name: value for row in self.rows for name, value in row.conversion.site.items()}


def convert(rule: Rule, values: Sequence[str]) -> Conversion:
    """The conversion of `values` by `rule`, if miltscan and m4 accept its values; never raises ValueError."""
    try:
        conversion = rule(values)
        for name, value in conversion.site.items():
            if not _SITE_VALUE.fullmatch(value):
                return Conversion(Fate.UNKNOWN, f"expected a value for {name}")
        lines = "".join(f"{key} = {toml(value)}\n" for key, value in conversion.settings.items())
        parse_settings(lines.encode(), "")
    except ConfigError as error:
        return Conversion(Fate.UNKNOWN, str(error).removeprefix(": "))
    except ValueError as error:
        return Conversion(Fate.UNKNOWN, str(error))
    return conversion


def always(fate: Fate, why: str) -> Rule:
    """The same fate for every value."""
    return lambda _values: Conversion(fate, why)


def if_used(fate: Fate, why: str) -> Rule:
    """The same fate for every value but "off", for which there is nothing to do."""

    def rule(values: Sequence[str]) -> Conversion:
        return Conversion(fate, why) if any(value.lower() not in OFF for value in values) else Conversion(Fate.UNUSED)

    return rule
