"""`trace`: one message through the logs, and the meaning of a log line."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from miltscan.commands.progress import progress
from miltscan.commands.terminal import complain, say, say_json
from miltscan.core.text import readable
from miltscan.sandwich.logfiles import Logs, has_journal, usual_files
from miltscan.trace.explain import explain as explain_line
from miltscan.trace.follow import TraceResult, find
from miltscan.trace.timeline import as_text, explained_as_fields, explained_as_text, trace_fields

_SHOWN = 200  # characters of a line that is not known
_LONG = 50_000_000  # bytes of logs, which take several seconds


def trace(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="QUEUE-ID|MESSAGE-ID", help="The queue ID at either sendmail, or the Message-ID."),
    ] = None,
    *,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="LINE", help="Explain a log line; - is standard input.")
    ] = None,
    logs: Annotated[
        list[Path] | None,
        typer.Option(
            "--log",
            "-l",
            metavar="FILE",
            help="Read this file and its rotated versions; may be repeated.",
            readable=False,
        ),
    ] = None,
    journal: Annotated[bool, typer.Option("--journal", help="Read the journal in addition to --log.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each message or line.")] = False,
) -> None:
    """Follow one message through the logs.

    It shows the client, the verdict and the delivery to each mailbox, as both sendmails and miltscan logged them.
    Without --log it reads the mail log and the journal of this host. The status is 0 if it finds the message, else 1.

    \b
    Examples:
      miltscan trace 6AMG4FAU001849
      miltscan trace --log /var/log/mail.log --json '<cb0233fab7b04e6d@example.org>'
      miltscan trace --explain 'Nov 22 16:04:15 mx sm-mta[1849]: 6AMG4FAU001849: to=<a@example.org>, dsn=2.0.0, ...'
    """
    if (subject is None) == (explain is None):
        raise typer.BadParameter("expected either QUEUE-ID or MESSAGE-ID, or --explain LINE")
    now = datetime.now().astimezone()
    if subject is None:
        for line in sys.stdin if explain == "-" else [explain or ""]:
            parts = explain_line(line, now)
            if json:
                say_json(explained_as_fields(parts))
            else:
                say(explained_as_text(parts))
        return
    read = Logs(
        logs or usual_files(),
        journal=journal or (not logs and has_journal()),
        on_error=complain,
    )
    with progress("Reading the logs", read.size, shown=read.size >= _LONG) as read.on_progress:
        found = find(subject, read.matching, now)
    for one in found.traces:
        if json:
            say_json(trace_fields(one))
        else:
            say(f"{as_text(one)}\n")
    if found.traces and found.unknown:
        complain(f"{readable(subject)}: found{_unknown(found)}")
    if not found.traces:
        for file in read.passed_over:
            complain(f"{readable(str(file))}: not read: not the name of a rotated log. To read it, use --log.")
        complain(f"{readable(subject)}: not found in {read}{_unknown(found)}")
        raise typer.Exit(1)


def _unknown(found: TraceResult) -> str:
    """How many lines name the message in an unknown form: without this a message may be treated as lost."""
    if not found.unknown:
        return ""
    lines = "1 line names it in a form" if found.unknown == 1 else f"{found.unknown} lines name it in a form"
    return f"; {lines} that trace does not know, such as: {readable(found.example, _SHOWN)}"
