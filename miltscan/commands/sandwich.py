"""`doctor` and `probe`: test the mail path, by inspecting it and by sending messages."""

# ruff: noqa: D301  a real \b keeps the lines of an example

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.report import print_steps
from miltscan.commands.terminal import say, say_json
from miltscan.config.keyfile import load_keys
from miltscan.config.load import load_settings
from miltscan.config.ownership import service_user
from miltscan.core.finding import Diagnosis, Finding, Level
from miltscan.doctor.key_check import unread_key, unread_text
from miltscan.doctor.steps import DELIVERY_FILE, DoctorOptions, Step, examine, first_incoming
from miltscan.scanning.probe_run import options_for, probe_fields, probe_table, run_probes, signing_key, unsent


def doctor(  # noqa: PLR0913 - one parameter for each option
    *,
    incoming: Annotated[
        Path | None,
        typer.Option(
            help="The .cf file of the incoming sendmail [default: /etc/mail/incoming.cf, else sendmail.cf there]",
            show_default=False,
        ),
    ] = None,
    delivery: Annotated[Path, typer.Option(help="The .cf file of the delivery sendmail.")] = DELIVERY_FILE,
    send: Annotated[
        bool, typer.Option("--send", help="Send a clean message and a test signature through both sendmails.")
    ] = False,
    to: Annotated[str, typer.Option(help="The recipient of both messages.")] = "postmaster",
    log: Annotated[
        Path | None, typer.Option(help="The log of both sendmails [default: syslog's, else the journal]")
    ] = None,
    problems: Annotated[
        bool, typer.Option("--problems", help="Print only what has to be repaired, in this order.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Config = None,
) -> None:
    """Check the mail path.

    It checks the host, both sendmails with their .cf files and queues, miltscan and the engines, step by step. At the
    end it lists what has to be repaired, in this order: of a fault with several effects only the cause. The status is 0
    if every finding is ok, and 1 after a warning or an error. Run it as root.

    \b
    Examples:
      miltscan doctor
      miltscan doctor --send --to you@example.org
      miltscan doctor --problems
      miltscan doctor --json | jq '.findings[] | select(.repair)'
    """
    with exit_on_error():
        settings = load_settings(config)
    options = DoctorOptions(incoming or first_incoming(), delivery, to if send else None, log, config)
    steps = examine(settings, options)
    if json:
        raise typer.Exit(_print_json(steps, problems=problems))
    raise typer.Exit(int(bool(print_steps(steps, problems=problems).repairs())))


def _print_json(steps: Iterable[Step], *, problems: bool) -> int:
    """Print all findings as one object; returns the exit status."""
    report, done = Diagnosis(), [*steps]
    for step in done:
        for finding in step.findings:
            report.add(step.rank, finding)
    repairs = [finding for finding, _ in report.repairs()]
    found = [
        {"step": step.title, **finding_fields(finding, report.cause_of(finding), repairs)}
        for step in done
        for finding in step.findings
        if finding.level is not Level.OK or not problems
    ]
    say_json({"well": not repairs, "findings": found}, indent=2)
    return int(bool(repairs))


def finding_fields(finding: Finding, cause: Finding | None, repairs: Sequence[Finding]) -> dict[str, object]:
    """One finding for a program: an effect has its cause and the remedy of that, another fault its place of repair."""
    own = next((place for place, one in enumerate(repairs, 1) if one is finding), None)
    return {
        "level": finding.level,
        "subject": finding.subject,
        "text": finding.text,
        "remedy": (cause or finding).remedy,
        "repair": own,
        "follows_from": cause and cause.subject,
    }


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
    """Send two test messages through the incoming sendmail.

    One is clean, the other contains a test signature. Both are signed with a key of keys.file. miltscan rejects them
    with a proof of their scan, so that neither is delivered or counted as mail. The status is 0 if both succeed, else
    1.

    \b
    Examples:
      miltscan probe
      miltscan probe --server inet:25@mx2.example.org
      miltscan probe --json | jq '.probes[].seconds'
    """
    with exit_on_error():
        settings = load_settings(config)
        keys = load_keys(settings.keys.file, service_user(settings))
        options, key = options_for(settings, server), signing_key(keys)
    unread = unread_key(settings, keys) if options.server.is_loopback else ""
    results = unsent(unread_text(unread)) if unread else run_probes(options, key)
    well = all(result.well for result in results)
    if json:
        say_json({"well": well, "probes": probe_fields(results)}, indent=2)
    else:
        say(probe_table(results))
    raise typer.Exit(int(not well))
