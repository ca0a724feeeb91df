"""`doctor` and `probe`: whether both sendmails and the service fit together, by looking and by sending."""

# ruff: noqa: PLC0415, D301  as in `common`; a real \b keeps the lines of an example

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from miltscan.commands.common import COLORS, Config, exit_on_error
from miltscan.config.load import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from miltscan.doctor.steps import Step


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
    with exit_on_error():
        settings = load_settings(config)
    from miltscan.doctor.steps import DoctorOptions, examine, first_incoming

    steps = examine(settings, DoctorOptions(incoming or first_incoming(), delivery, to if send else None, log))
    raise typer.Exit(_print_steps_json(steps) if json else _print_steps(steps))


def _print_steps(steps: "Iterable[Step]") -> int:
    """Prints each step as soon as it is done; the exit status."""
    wrong = 0
    for number, step in enumerate(steps, 1):
        typer.secho(f"{number}. {step.title}", bold=True)
        for finding in step.findings:
            typer.secho(f"   {finding}", fg=COLORS.get(finding.level))
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
    from miltscan.scanning.probe_run import options_for, probe_fields, probe_table, run_probes, signing_key

    with exit_on_error():
        loaded = load_all(config)
        options, key = options_for(loaded.settings, server), signing_key(loaded.keys)
    results = [*run_probes(options, key)]
    well = all(result.well for result in results)
    typer.echo(dumps({"well": well, "probes": probe_fields(results)}, indent=2) if json else probe_table(results))
    raise typer.Exit(int(not well))
