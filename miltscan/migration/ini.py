"""Reads the .ini files of relay scanners and gives each key of a table to its rule. It knows no scanner, opens no file.

No vendor documents all keys: what no table names is listed by section instead of being dropped in silence.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from miltscan.migration.draft import Conversion, Draft, Fate, Row, Rule, convert


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key = value`; names in lower case, the section "" before the first one."""

    section: str
    key: str
    value: str


def read_ini(text: str) -> Iterator[Entry]:
    """The entries in order; `;` and `#` begin a comment line, and a line that is no entry is passed over."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip().lower()
        elif "=" in line and not line.startswith((";", "#")):
            key, _, value = line.partition("=")
            yield Entry(section, key.strip().lower(), value.strip().strip('"'))


def draft_ini(text: str, keys: Mapping[str, Rule], sections: tuple[str, ...]) -> Draft:
    """What becomes of each of `keys`, before the first section and in those whose name begins with one of `sections`.

    Of a key that is given again the first one counts.
    """
    taken: dict[str, Row] = {}
    others = []
    for entry in read_ini(text):
        here = not entry.section or entry.section.startswith(sections)
        if here and entry.key in keys and entry.key not in taken:
            taken[entry.key] = Row(f"{entry.key} = {entry.value}", convert(keys[entry.key], [entry.value]))
        else:
            others.append(entry)
    return Draft((*taken.values(), *_unread(others)))


def _unread(entries: list[Entry]) -> Iterator[Row]:
    """A row for each section; without values, as one may be a password."""
    for section, group in groupby(sorted(entries, key=lambda entry: entry.section), lambda entry: entry.section):
        yield Row(f"[{section}]", Conversion(Fate.UNREAD, ", ".join(dict.fromkeys(entry.key for entry in group))))
