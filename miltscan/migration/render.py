"""A draft as the files that an administrator gets: miltscan.toml, settings of sendmail/, a report. It opens none."""

from collections.abc import Iterator, Mapping
from itertools import groupby

from miltscan.config.load import parse_settings
from miltscan.config.render import ShownKey, keys
from miltscan.config.units import Toml, toml
from miltscan.core.text import readable
from miltscan.migration.draft import Draft, Fate, Row

_BESIDE = """\
Not in any file: miltscan has these, too. `miltscan config` prints each with its default.
  policy.on_unscanned.limits, encrypted, busy; limits.concurrent_scans, limits.queue_wait; exporter.listen
"""


def as_files(draft: Draft, source: str) -> dict[str, str]:
    """Text by file name; `source` names the file that was read."""
    return {
        "miltscan.toml": draft_toml(draft, source),
        "site.m4": as_m4(draft, source),
        "differences.txt": as_report(draft, source),
    }


def draft_toml(draft: Draft, source: str) -> str:
    """The keys that the draft sets, in the order of the documentation, as our own configuration writes them."""
    head = f"# From {readable(source)}. A key that is not here has its default: `miltscan config` prints them all.\n"
    tables = groupby(_given(draft.settings), lambda key: key.table)
    return head + "".join(
        f"\n[{table}]\n" + "".join(f"{key.name} = {key.value}\n" for key in group) for table, group in tables
    )


def _given(settings: Mapping[str, Toml]) -> list[ShownKey]:
    """The keys with their values as our own configuration shows them."""
    lines = "".join(f"{key} = {toml(value)}\n" for key, value in settings.items())
    return [key for key in keys(parse_settings(lines.encode(), "miltscan.toml")) if str(key) in settings]


def as_m4(draft: Draft, source: str) -> str:
    """The settings as a file for `make -C sendmail`; a site that has one already adds these lines to it."""
    head = (
        f"dnl From {readable(source)}, for make -C sendmail OUT=/etc/mail SITE=/etc/mail/site.m4\n"
        "dnl A setting that is not here has its default: sendmail/README.md lists them all.\n"
    )
    return head + "".join(f"define(`{name}', `{value}')dnl\n" for name, value in draft.site.items())


def as_report(draft: Draft, source: str) -> str:
    """Every option under its fate, with the reason."""
    head = f"What becomes of {readable(source)}\n"
    parts = (_part(fate, [row for row in draft.rows if row.outcome.fate is fate]) for fate in Fate)
    return "\n".join([head, *filter(None, parts), _BESIDE])


def _part(fate: Fate, rows: list[Row]) -> str:
    return "".join([f"{fate}\n", *map(_row, rows)]) if rows else ""


def _row(row: Row) -> str:
    return "".join(f"{indent}{readable(line)}\n" for indent, line in [("  ", row.given), *_told(row)])


def _told(row: Row) -> Iterator[tuple[str, str]]:
    outcome = row.outcome
    yield from (("      ", f"-> {key} = {key.value}") for key in _given(outcome.settings))
    yield from (("      ", f"-> {name} {value}") for name, value in outcome.site.items())
    if outcome.why:
        yield "      ", outcome.why
