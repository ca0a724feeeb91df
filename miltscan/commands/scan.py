"""`scan`: stored messages, as the service would scan them."""

# ruff: noqa: PLC0415, D301  as in `common`; a real \b keeps the lines of an example

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.config.load import load_settings
from miltscan.config.settings import Settings
from miltscan.errors import MiltscanError

if TYPE_CHECKING:
    from miltscan.core.report import Report
    from miltscan.core.verdict import Outcome
    from miltscan.scanning.pipeline import Pipeline


def scan(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Stored messages; - is standard input.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per message.")] = False,
    config: Config = None,
) -> None:
    """Scan stored messages.

    As the service would: status 0 clean, 1 infected, 2 not scanned or unreadable; the worst of several.

    \b
    Examples:
      miltscan scan message.eml
      miltscan scan --json *.eml
      miltscan scan - < message.eml
    """
    with exit_on_error():
        settings = load_settings(config)
    from miltscan.scanning.assemble import probed_pipeline
    from miltscan.scanning.stored import exit_status

    pipeline = probed_pipeline(settings)
    raise typer.Exit(exit_status([_scanned(file, settings, pipeline, json=json) for file in files]))


def _scanned(file: str, settings: Settings, pipeline: "Pipeline", *, json: bool) -> "Outcome | None":
    """Prints the report; None, and a line on standard error, if the file cannot be read or kept."""
    from miltscan.core.text import readable
    from miltscan.scanning.stored import scan_stored

    try:
        with _opened(file) as stream:
            report = scan_stored(stream, settings, pipeline)
    except OSError as error:
        typer.echo(f"{readable(file)}: cannot be read: {error.strerror}", err=True)
    except MiltscanError as error:
        typer.echo(f"{readable(file)}: {readable(str(error))}", err=True)
    else:
        _print_report(file, report, json=json)
        return report.verdict.outcome
    return None


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    with Path(file).open("rb") as stream:
        yield stream


def _print_report(file: str, report: "Report", *, json: bool) -> None:
    from json import dumps

    from miltscan.scanning.stored import as_line, report_fields

    fields = report_fields(file, report)
    typer.echo(dumps(fields) if json else as_line(fields))
