"""The manual pages, from the commands and the settings; `python -m docs.generator.manual FOLDER` writes them.

miltscan(8), a page for each command and group of commands, such as miltscan-quarantine-list(8), and miltscan.toml(5).
The Debian package contains them.
"""

import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import typer

from docs.generator.configuration import EVERY_TABLE
from docs.generator.roff import entry, example, heading, section, text, title
from miltscan.cli import whole_program
from miltscan.config.render import ShownKey, keys

_SETTINGS = "miltscan.toml"
_STATUS = (
    "0: success. 1: the service cannot start, a check has found an error, or a message was not found. "
    "2: wrong usage, or a mistake in the configuration."
)
_RESTART = "A change requires a restart."
_EXAMPLES = re.compile(r"\x08?\n?Examples:\n(.*?)(?:\n\n|\Z)", re.DOTALL)


def pages() -> dict[str, str]:
    """Each page by its file name."""
    commands = [*_commands(whole_program(), None)]
    names = [_name(context) for context in commands]
    made = {f"{name}.8": _command_page(context, names) for context, name in zip(commands, names, strict=True)}
    return made | {f"{_SETTINGS}.5": _settings_page()}


def _commands(command: Any, parent: typer.Context | None) -> Iterator[typer.Context]:  # noqa: ANN401 - click's, of two origins
    """The context of a command, then those of the commands below it."""
    name = command.name if parent else "miltscan"
    wide = {**command.context_settings, "terminal_width": 10_000, "max_content_width": 10_000}
    context = typer.Context(command, info_name=name, parent=parent, **wide)
    yield context
    for inner in getattr(command, "commands", {}).values():
        yield from _commands(inner, context)


def _name(context: typer.Context) -> str:
    return context.command_path.replace(" ", "-")


def _command_page(context: typer.Context, names: list[str]) -> str:
    command, name = context.command, _name(context)
    first, _, rest = (command.help or "").partition("\n")
    examples = [line for block in _EXAMPLES.findall(rest) for line in block.splitlines()]
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    inner = {f"{name}-{one}": sub.get_short_help_str(200) for one, sub in getattr(command, "commands", {}).items()}
    records = [(one.param_type_name, one.get_help_record(context)) for one in command.get_params(context)]
    parts = [
        title(name, 8),
        heading("NAME", f"{name} - {first[:1].lower()}{first[1:].removesuffix('.')}"),
        section("SYNOPSIS") + text(usage),
        section("DESCRIPTION") + text(_EXAMPLES.sub("", rest) or first),
        section("COMMANDS") + "".join(entry(f"{one}(8)", meaning) for one, meaning in inner.items()) if inner else "",
        *(_records(kind, records) for kind in ("argument", "option")),
        section("EXAMPLES") + example(line.removeprefix("  ") for line in examples) if examples else "",
        section("EXIT STATUS") + text(_STATUS),
        section("FILES") + entry("/etc/miltscan/miltscan.toml", f"The settings, {_SETTINGS}(5)."),
        section("SEE ALSO") + text(_related(name, names)),
    ]
    return "".join(parts)


def _records(kind: str, records: list[tuple[str, tuple[str, str] | None]]) -> str:
    entries = "".join(entry(*record) for one, record in records if one == kind and record)
    return section(f"{kind.upper()}S") + entries if entries else ""


def _related(name: str, names: list[str]) -> str:
    """The page above this one, those next to it, and the settings."""
    above = name.rpartition("-")[0]
    near = [one for one in names if one != name and above in (one, one.rpartition("-")[0])]
    return ", ".join([*(f"{one}(8)" for one in near), f"{_SETTINGS}(5)"])


def _settings_page() -> str:
    tables = groupby(keys(EVERY_TABLE), lambda key: re.sub(r"\[\d+\]", "", key.table))
    return "".join(
        [
            title(_SETTINGS, 5),
            heading("NAME", f"{_SETTINGS} - the settings of miltscan"),
            section("SYNOPSIS") + text("/etc/miltscan/miltscan.toml"),
            section("DESCRIPTION")
            + text(
                "A file in the format TOML. Every key but those marked as required is optional. After a change, "
                "`miltscan check` reports mistakes, and `systemctl reload miltscan` applies the file."
            ),
            *(section(f"[{table}]") + "".join(map(_key, group)) for table, group in tables),
            section("SEE ALSO") + text("miltscan(8), miltscan-check(8), miltscan-config(8)"),
        ]
    )


def _key(key: ShownKey) -> str:
    default = f"Default: `{key.default}`." if key.default else "Required."
    restart = f" {_RESTART}" if key.restart else ""
    return entry(f"{key.name} ({key.expected})", f"{key.meaning}. {default}{restart}")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in pages().items():
        (folder / name).write_text(page)
