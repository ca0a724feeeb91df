"""Reads the .ini files of relay scanners and applies the rule of each known key. It knows no scanner and opens no file.

No vendor documents all keys: the report lists the others by section instead of dropping them silently.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from miltscan.migration.draft import Conversion, Draft, DraftRow, Fate, Rule, convert

_SPAM = (
    "miltscan has no rules about spam of its own: run rspamd or spamd with these thresholds and lists, and add an "
    "[[engine]] of that type and policy.on_spam (docs/anti-spam.md)"
)


@dataclass(frozen=True, slots=True)
class IniEntry:
    """One `key = value`; names in lower case, the section empty before the first one."""

    section: str
    key: str
    value: str


def read_ini(text: str) -> Iterator[IniEntry]:
    """The entries in order; `;` and `#` begin a comment line, and a line without `=` is left out."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip().lower()
        elif "=" in line and not line.startswith((";", "#")):
            key, _, value = line.partition("=")
            yield IniEntry(section, key.strip().lower(), value.strip().strip('"'))


def _concerns_spam(entry: IniEntry) -> bool:
    return "spam" in entry.section or "spam" in entry.key


def draft_ini(text: str, keys: Mapping[str, Rule], sections: tuple[str, ...]) -> Draft:
    """The conversions of `keys`, before the first section and in those whose name begins with one of `sections`.

    The first of two entries with the same key counts.
    """
    taken: dict[str, DraftRow] = {}
    others = []
    for entry in read_ini(text):
        here = not entry.section or entry.section.startswith(sections)
        if here and entry.key in keys and entry.key not in taken:
            taken[entry.key] = DraftRow(f"{entry.key} = {entry.value}", convert(keys[entry.key], [entry.value]))
        else:
            others.append(entry)
    # one row for each section, without values, as one may be a password
    others.sort(key=lambda entry: (not _concerns_spam(entry), entry.section))
    unread = []
    for (spam, section), group in groupby(others, lambda entry: (_concerns_spam(entry), entry.section)):
        names = ", ".join(dict.fromkeys(entry.key for entry in group))
        fate, why = (Fate.ELSEWHERE, f"{names}: {_SPAM}") if spam else (Fate.UNREAD, names)
        unread.append(DraftRow(f"[{section}]", Conversion(fate, why)))
    return Draft((*taken.values(), *unread))
