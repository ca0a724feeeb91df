"""The commands: each parses its arguments, calls the part that does the work, and prints; nothing is decided here.

What a command needs is imported when it runs: the service keeps none of the others' memory, and `--help` is quick.
Exit statuses: 2 for a wrong configuration or usage; `run` and `check` 1 if the world around does not fit.
"""

# ruff: noqa: PLC0415, D301  imports inside functions, for the reason above; a real \b keeps the lines of an example

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from miltscan import __version__
from miltscan.config.settings import Settings, load
from miltscan.errors import MiltscanError

if TYPE_CHECKING:
    from miltscan.core.report import Report
    from miltscan.core.verdict import Outcome
    from miltscan.sandwich.doctor import Step
    from miltscan.sandwich.logfiles import Logs
    from miltscan.service.pipeline import Pipeline

app = typer.Typer(
    help="Scans mail for sendmail inside the SMTP session.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help="Configuration file [default: /etc/miltscan/miltscan.toml]", show_default=False
    ),
]


def main() -> None:
    """Every command of the `miltscan` program; `__main__` starts the service without this module."""
    app(prog_name="miltscan")


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"miltscan {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Example: miltscan check && miltscan run. Each command has its own: miltscan COMMAND --help",
)
def _options(
    *,
    _wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Scans mail for sendmail inside the SMTP session."""


@contextmanager
def _told() -> Iterator[None]:
    """Ends the program with the text of our own exceptions and their exit status instead of a traceback."""
    try:
        yield
    except MiltscanError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_status) from None


@app.command()
def run(config: Config = None) -> None:
    """Run the service.

    It stays in the foreground. SIGHUP reads the configuration again, SIGTERM drains and ends.

    \b
    Examples:
      miltscan run
      miltscan run --config ./miltscan.toml
    """
    with _told():
        from miltscan.config.apart import in_child
        from miltscan.service.run import serve

        raise typer.Exit(serve(in_child(partial(load, config)), config))


_COLORS = {"warning": typer.colors.YELLOW, "error": typer.colors.RED}


@app.command()
def check(config: Config = None) -> None:
    """Look at what the service needs.

    One line per finding (clamd, folders, group, policy) with its remedy; status 1 if something would break.

    \b
    Examples:
      miltscan check
      miltscan check --config ./miltscan.toml && systemctl reload miltscan
    """
    with _told():
        settings = load(config)
    from miltscan.core.finding import Level
    from miltscan.service.check import findings

    failed = False
    for finding in findings(settings):
        typer.secho(str(finding), fg=_COLORS.get(finding.level))
        failed |= finding.level is Level.ERROR
    raise typer.Exit(int(failed))


@app.command()
def doctor(  # noqa: PLR0913  one per option
    *,
    incoming: Annotated[
        Path | None,
        typer.Option(
            help="The .cf file of the incoming sendmail [default: /etc/mail/incoming.cf, else sendmail.cf there]",
            show_default=False,
        ),
    ] = None,
    delivery: Annotated[Path, typer.Option(help="The .cf file of the delivery sendmail.")] = Path(
        "/etc/mail/delivery.cf"
    ),
    send: Annotated[
        bool, typer.Option("--send", help="Send a clean message and a test signature the whole way.")
    ] = False,
    to: Annotated[str, typer.Option(help="The recipient of both.")] = "postmaster",
    log: Annotated[
        Path | None, typer.Option(help="The log of both sendmails [default: syslog's, else the journal]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Config = None,
) -> None:
    """Look at the whole sandwich.

    Each step of a message's way: who listens, both .cf files, sockets, queues, clamd, the host. Status 0 if all is
    well, 1 if something is wrong, be it a warning. Run it as root.

    \b
    Examples:
      miltscan doctor
      miltscan doctor --send --to you@example.org
      miltscan doctor --json | jq '.findings[] | select(.level != "ok")'
    """
    with _told():
        settings = load(config)
    from miltscan.sandwich.doctor import Errand, examine, first_incoming

    steps = examine(settings, Errand(incoming or first_incoming(), delivery, to if send else None, log))
    raise typer.Exit(_print_steps_json(steps) if json else _print_steps(steps))


def _print_steps(steps: "Iterable[Step]") -> int:
    """Prints each step as soon as it is done; the exit status."""
    wrong = 0
    for number, step in enumerate(steps, 1):
        typer.secho(f"{number}. {step.title}", bold=True)
        for finding in step.findings:
            typer.secho(f"   {finding}", fg=_COLORS.get(finding.level))
            wrong += finding.level != "ok"
    typer.echo("all is well" if not wrong else f"{wrong} of these lines say what is wrong")
    return int(wrong > 0)


def _print_steps_json(steps: "Iterable[Step]") -> int:
    from dataclasses import asdict
    from json import dumps

    found = [{"step": step.title, **asdict(finding)} for step in steps for finding in step.findings]
    well = all(one["level"] == "ok" for one in found)
    typer.echo(dumps({"well": well, "findings": found}, indent=2))
    return int(not well)


@app.command()
def probe(
    *,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="inet:PORT@HOST", help="The incoming sendmail [default: probe.server]", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Config = None,
) -> None:
    """Send a clean message and a test signature through the incoming sendmail.

    Both are signed with the key of keys.file, refused with the proof of their scan, and never delivered or counted.
    Status 0 if both went well, 1 if not.

    \b
    Examples:
      miltscan probe
      miltscan probe --server inet:25@mx2.example.org
      miltscan probe --json | jq '.probes[].seconds'
    """
    from json import dumps

    from miltscan.config.keyfile import load_all
    from miltscan.sandwich.probe import as_fields, as_table, options_for, run, signing_key

    with _told():
        loaded = load_all(config)
        options, key = options_for(loaded.settings, server), signing_key(loaded.keys)
    results = [*run(options, key)]
    well = all(result.well for result in results)
    typer.echo(dumps({"well": well, "probes": as_fields(results)}, indent=2) if json else as_table(results))
    raise typer.Exit(int(not well))


@app.command()
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
    with _told():
        settings = load(config)
    from miltscan.service.scan import exit_status, pipeline_for

    pipeline = pipeline_for(settings)
    raise typer.Exit(exit_status([_scanned(file, settings, pipeline, json=json) for file in files]))


def _scanned(file: str, settings: Settings, pipeline: "Pipeline", *, json: bool) -> "Outcome | None":
    """Prints the report; None, and a line on standard error, if the file cannot be read or kept."""
    from miltscan.core.text import readable
    from miltscan.service.scan import scan as scan_stream

    try:
        with _opened(file) as stream:
            report = scan_stream(stream, settings, pipeline)
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

    from miltscan.service.scan import as_fields, as_line

    fields = as_fields(file, report)
    typer.echo(dumps(fields) if json else as_line(fields))


@app.command()
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

    from miltscan.sandwich.explain import explain
    from miltscan.sandwich.timeline import explained_as_fields, explained_as_text

    parts = explain(line, datetime.now().astimezone())
    typer.echo(dumps(explained_as_fields(parts)) if json else explained_as_text(parts))


def _trace(subject: str, files: Sequence[Path], *, journal: bool, json: bool) -> None:
    from datetime import datetime
    from json import dumps

    from miltscan.core.text import readable
    from miltscan.sandwich.logfiles import Logs, has_journal, usual_files
    from miltscan.sandwich.timeline import as_fields, as_text
    from miltscan.sandwich.trace import follow

    logs = Logs(
        files or usual_files(),
        journal=journal or (not files and has_journal()),
        complain=lambda text: typer.echo(text, err=True),
    )
    with _progress(logs):
        traces = follow(subject, logs.matching, datetime.now().astimezone())
    typer.echo("\n".join(dumps(as_fields(one)) if json else f"{as_text(one)}\n" for one in traces), nl=bool(traces))
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
        logs.told = lambda done: bar.update(task, completed=done)
        yield


keys_app = typer.Typer(help="The keys of scan receipts.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys_app, name="keys", epilog="Example: miltscan keys new && systemctl reload miltscan")


@keys_app.command("new")
def new_key(
    *,
    name: Annotated[
        str | None, typer.Option("--id", help="What to call it [default: date and time]", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Make a new key.

    It stands first in the file of keys.file and signs from the next reload on; the keys below it stay, for what they
    have signed. Remove one by hand when no mail that it has signed is left in the queue of incoming.

    \b
    Examples:
      miltscan keys new && systemctl reload miltscan
      miltscan keys new --id 2027-01 --config ./miltscan.toml
    """
    with _told():
        settings = load(config)
        from miltscan.service.newkey import new_key as make

        typer.echo(f"{settings.keys.file}: key {make(settings, name)} signs from the next reload on")


@app.command("config")
def show_config(
    config: Config = None,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of the documentation.")] = False,
) -> None:
    """Print the settings in effect.

    As TOML, with the meaning and the default of each key.

    \b
    Examples:
      miltscan config
      miltscan config --config ./miltscan.toml | grep -v '^#'
    """
    from miltscan.config.render import as_markdown, as_toml

    with _told():
        settings = load(config)
    typer.echo(as_markdown(settings) if markdown else as_toml(settings), nl=False)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="clamav-milter.conf, imss.ini or intscan.ini.")],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write the files there instead of printing them."),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="What FILE is, if its name and text do not tell.")
    ] = None,
) -> None:
    """Take over another scanner's settings.

    It makes a miltscan.toml, a site.m4 for sendmail/ and differences.txt: every option, what becomes of it, and why. A
    file that is there already is never overwritten: then nothing is written, and the status is 2.

    \b
    Examples:
      miltscan import /etc/clamav/clamav-milter.conf
      miltscan import --output ./new /etc/iscan/intscan.ini && less ./new/differences.txt
    """
    from miltscan.migration.files import read, write
    from miltscan.migration.formats import draft, recognise
    from miltscan.migration.render import as_files

    with _told():
        text = read(file)
        files = as_files(draft(kind or recognise(file.name, text), text), file.name)
        for path in write(output, files) if output else ():
            typer.echo(path)
    if output is None:
        typer.echo("\n".join(f"==> {name} <==\n{content}" for name, content in files.items()), nl=False)
