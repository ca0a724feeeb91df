"""`scan`: stored messages, scanned as the service scans them."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.progress import progress
from miltscan.commands.scan_view import structure_text
from miltscan.commands.tables import terminal_width
from miltscan.commands.terminal import complain, say, say_json
from miltscan.config.load import load_settings
from miltscan.config.settings import Settings
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.errors import MiltscanError
from miltscan.scanning.assemble import probed_pipeline
from miltscan.scanning.pipeline import Pipeline
from miltscan.scanning.servers import ServerRecords
from miltscan.scanning.stored import as_line, exit_status, report_fields, scan_stored


def scan(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Stored messages; - is standard input.")],
    *,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print the parts of each message, how they are read, and what was scanned."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each message.")] = False,
    config: Config = None,
) -> None:
    """Scan stored messages.

    It uses the engines, limits and policy of the service. The status is 1 if a message is infected, else 2 if one is
    not scanned or cannot be read, else 0.

    \b
    Examples:
      miltscan scan message.eml
      miltscan scan --json *.eml
      miltscan scan - < message.eml
      miltscan scan --explain message.eml
    """
    if explain and json:
        raise typer.BadParameter("expected either --explain or --json")
    if explain and "-" in files:
        raise typer.BadParameter("--explain reads a message twice: expected a file, not -")
    with exit_on_error():
        settings = load_settings(config)
    records = ServerRecords()
    pipeline = probed_pipeline(settings, records)
    outcomes = []
    with progress("Scanning", len(files), shown=len(files) > 1, prints=True) as update:
        for number, file in enumerate(files, 1):
            outcomes.append(_scan_file(file, settings, pipeline, explain=explain, json=json))
            update(number)
    for server, why in records.down():
        complain(f"{server}: fails its self-test: {readable(why)}; miltscan check shows the remedy")
    raise typer.Exit(exit_status(outcomes))


def _scan_file(file: str, settings: Settings, pipeline: Pipeline, *, explain: bool, json: bool) -> Outcome | None:
    """Print the report on one file; returns None after an error, which is a line on standard error."""
    try:
        with nullcontext(sys.stdin.buffer) if file == "-" else Path(file).open("rb") as stream:
            report = scan_stored(stream, settings, pipeline)
        content = Path(file).read_bytes() if explain else b""
    except OSError as error:
        complain(f"{readable(file)}: cannot be read: {error.strerror}")
        return None
    except MiltscanError as error:
        complain(f"{readable(file)}: {readable(str(error))}")
        return None
    fields = report_fields(file, report)
    if json:
        say_json(fields)
    else:
        say(as_line(fields))
    if explain:
        say("\n".join(structure_text(content, report, terminal_width())))
    return report.verdict.outcome
