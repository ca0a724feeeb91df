"""A draft as the files for the administrator: miltscan.toml, settings of sendmail/, a report. It opens no file."""

from collections.abc import Mapping
from itertools import groupby

from miltscan.config.load import parse_settings
from miltscan.config.render import ShownKey, keys
from miltscan.config.units import Toml, toml
from miltscan.core.text import readable
from miltscan.migration.draft import Draft, Fate

_NEW_KEYS = """\
Keys of miltscan without a counterpart in other scanners. `miltscan config` prints each with its default.
  policy.on_unscanned.limits, encrypted, busy; limits.concurrent_scans, limits.queue_wait; exporter.listen
"""


def as_files(draft: Draft, source: str) -> dict[str, str]:
    """The text of each file by its name; `source` is the name of the file that was read."""
    return {
        "miltscan.toml": draft_toml(draft, source),
        "site.m4": as_m4(draft, source),
        "differences.txt": as_report(draft, source),
    }


def draft_toml(draft: Draft, source: str) -> str:
    """The keys that the draft sets, in the order of the documentation, as miltscan's own configuration writes them."""
    head = f"# From {readable(source)}. An absent key has its default: `miltscan config` prints them all.\n"
    tables = groupby(_shown_keys(draft.settings), lambda key: key.table)
    return head + "".join(
        f"\n[{table}]\n" + "".join(f"{key.name} = {key.value}\n" for key in group) for table, group in tables
    )


def _shown_keys(settings: Mapping[str, Toml]) -> list[ShownKey]:
    """The keys with their values as miltscan's own configuration shows them."""
    lines = "".join(f"{key} = {toml(value)}\n" for key, value in settings.items())
    return [key for key in keys(parse_settings(lines.encode(), "miltscan.toml")) if str(key) in settings]


def as_m4(draft: Draft, source: str) -> str:
    """The settings as a file for `make -C sendmail`; they can also be added to an existing site file."""
    head = (
        f"dnl From {readable(source)}, for make -C sendmail OUT=/etc/mail SITE=/etc/mail/site.m4\n"
        "dnl An absent setting has its default: sendmail/README.md lists them all.\n"
    )
    return head + "".join(f"define(`{name}', `{value}')dnl\n" for name, value in draft.site.items())


def as_report(draft: Draft, source: str) -> str:
    """Every option under its fate, with its keys and the reason."""
    parts = [f"Options of {readable(source)} and their counterparts in miltscan\n"]
    for fate in Fate:
        rows = [row for row in draft.rows if row.conversion.fate is fate]
        lines = [str(fate)] if rows else []
        for row in rows:
            lines.append(f"  {readable(row.given)}")
            shown = [f"-> {key} = {key.value}" for key in _shown_keys(row.conversion.settings)]
            shown += [f"-> {name} {value}" for name, value in row.conversion.site.items()]
            why = [row.conversion.why] if row.conversion.why else []
            lines += [f"      {readable(line)}" for line in (*shown, *why)]
        parts += ["".join(f"{line}\n" for line in lines)] if rows else []
    return "\n".join([*parts, _NEW_KEYS])
