"""`trace`: one message through the logs, and what a log line means."""

# ruff: noqa: PLC0415, D301  as in `common`; a real \b keeps the lines of an example

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from miltscan.sandwich.logfiles import Logs


def trace(
    subject: Annotated[
        str | None, typer.Argument(metavar="QUEUE-ID|MESSAGE-ID", help="The message, by either sendmail's queue ID.")
    ] = None,
    *,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="LINE", help="Say what a log line means; - is standard input.")
    ] = None,
    logs: Annotated[
        list[Path] | None,
        typer.Option("--log", "-l", metavar="FILE", help="Read this file and its rotated ones; may be given again."),
    ] = None,
    journal: Annotated[bool, typer.Option("--journal", help="Read the journal, too, beside --log.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per message, or per line.")] = False,
) -> None:
    """Follow one message through the logs.

    From its client over the verdict to each mailbox, by what both sendmails and miltscan logged: without --log in the
    mail log of this host and in its journal. Status 0 if the message was found, 1 if not.

    \b
    Examples:
      miltscan trace 6AMG4FAU001849
      miltscan trace --log /var/log/mail.log --json '<cb0233fab7b04e6d@example.org>'
      miltscan trace --explain 'Nov 22 16:04:15 mx sm-mta[1849]: 6AMG4FAU001849: to=<a@example.org>, dsn=2.0.0, ...'
    """
    if (subject is None) == (explain is None):
        raise typer.BadParameter("either QUEUE-ID or MESSAGE-ID or --explain LINE")
    if explain is not None:
        for line in sys.stdin if explain == "-" else [explain]:
            _explain(line, json=json)
    elif subject is not None:
        _trace(subject, logs or [], journal=journal, json=json)


def _explain(line: str, *, json: bool) -> None:
    from datetime import datetime
    from json import dumps

    from miltscan.trace.explain import explain
    from miltscan.trace.timeline import explained_as_fields, explained_as_text

    parts = explain(line, datetime.now().astimezone())
    typer.echo(dumps(explained_as_fields(parts)) if json else explained_as_text(parts))


def _trace(subject: str, files: Sequence[Path], *, journal: bool, json: bool) -> None:
    from datetime import datetime
    from json import dumps

    from miltscan.core.text import readable
    from miltscan.sandwich.logfiles import Logs, has_journal, usual_files
    from miltscan.trace.follow import follow
    from miltscan.trace.timeline import as_text, trace_fields

    logs = Logs(
        files or usual_files(),
        journal=journal or (not files and has_journal()),
        on_error=lambda text: typer.echo(text, err=True),
    )
    with _progress(logs):
        traces = follow(subject, logs.matching, datetime.now().astimezone())
    typer.echo("\n".join(dumps(trace_fields(one)) if json else f"{as_text(one)}\n" for one in traces), nl=bool(traces))
    if not traces:
        typer.echo(f"{readable(subject)}: not found in {logs}", err=True)
        raise typer.Exit(1)


_LONG = 50_000_000  # bytes of logs, from which on somebody waits


@contextmanager
def _progress(logs: "Logs") -> Iterator[None]:
    """A bar on standard error while `logs` are read, if that is a terminal and there is much to read."""
    if logs.size < _LONG or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("Reading the logs", total=logs.size)
        logs.on_progress = lambda done: bar.update(task, completed=done)
        yield
