"""`config`, `import` and `keys new`: the files of the service, shown and made."""

# ruff: noqa: D301  a real \b keeps the lines of an example

from pathlib import Path
from typing import Annotated

import typer

from miltscan.commands.common import Config, command_group, exit_on_error
from miltscan.commands.terminal import say, say_json
from miltscan.config.load import load_settings
from miltscan.config.newkey import new_key
from miltscan.config.render import settings_fields, settings_schema, settings_toml
from miltscan.doctor.key_check import unread_text
from miltscan.doctor.ports import has_listener
from miltscan.migration.files import read_source, write
from miltscan.migration.formats import draft, recognise
from miltscan.migration.render import as_files


def show_config(
    config: Config = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False,
    schema: Annotated[
        bool,
        typer.Option("--schema", help="Print the JSON Schema of the file, with which editors complete and check it."),
    ] = False,
) -> None:
    """Print the settings in effect.

    The output is TOML, with the meaning and the default of each key; miltscan can read it.

    \b
    Examples:
      miltscan config
      miltscan config --config ./miltscan.toml | grep -v '^#'
      miltscan config --json | jq .limits
      miltscan config --schema >miltscan.schema.json
    """
    if schema:
        say_json(settings_schema(), indent=2)
        return
    with exit_on_error():
        settings = load_settings(config)
    if json:
        say_json(settings_fields(settings), indent=2)
    else:
        say(settings_toml(settings).rstrip("\n"))


def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="clamav-milter.conf, imss.ini or intscan.ini.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write the files there instead of printing them."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="The format of FILE, if its name and text are unknown."),
    ] = None,
) -> None:
    """Import the settings of another scanner.

    It creates a miltscan.toml, a site.m4 for sendmail/, and differences.txt with the counterpart of every option. It
    overwrites no file: if one exists, it writes nothing and ends with status 2.

    \b
    Examples:
      miltscan import /etc/clamav/clamav-milter.conf
      miltscan import --output ./new /etc/iscan/intscan.ini && less ./new/differences.txt
    """
    with exit_on_error():
        text = read_source(file)
        files = as_files(draft(kind or recognise(file.name, text), text), file.name)
        for path in write(output, files) if output else ():
            say(str(path))
    if output is None:
        say("\n".join(f"==> {name} <==\n{content}" for name, content in files.items()).rstrip("\n"))


def new_key_command(
    *,
    name: Annotated[
        str | None, typer.Option("--id", help="The name of the key [default: date and time]", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Create a new key.

    The key is written to the top of keys.file, and signs once the service has read it, at a reload. The keys below it
    remain valid for what they have signed. Remove a key by hand when the incoming queue contains no mail that it has
    signed.

    \b
    Examples:
      miltscan keys new && systemctl reload miltscan
      miltscan keys new --id 2027-01 --config ./miltscan.toml
    """
    with exit_on_error():
        settings = load_settings(config)
        key = new_key(settings, name)
        say(f"{settings.keys.file}: key {key} is now the first one")
        if has_listener(settings.milter.socket):
            say(unread_text(key))


keys_app = command_group(
    "Manage the keys of receipts and probes.",
    "Example: miltscan keys new && systemctl reload miltscan",
    {
        "new": new_key_command,
    },
)
