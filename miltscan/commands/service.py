"""`run` and `check`: the service, and what it needs from its surroundings."""

# ruff: noqa: D301  a real \b keeps the lines of an example

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.report import print_finding
from miltscan.config.load import load_settings
from miltscan.core.finding import Diagnosis, Level
from miltscan.daemon.run import run_service
from miltscan.doctor.check import asker_findings, check_findings, file_finding
from miltscan.doctor.postfix import postfix_finding
from miltscan.doctor.steps import first_incoming

_INTERRUPTED = 130  # as a shell reports it: 128 and SIGINT


def run(
    *,
    shadow: Annotated[
        Path | None,
        typer.Option(
            "--shadow",
            metavar="FILE",
            help="A whole miltscan.toml, whose rules and policy are only asked: what differs is logged and counted.",
            readable=False,
        ),
    ] = None,
    config: Config = None,
) -> None:
    """Run the service.

    It stays in the foreground. SIGHUP reloads the configuration, SIGTERM drains and ends.

    \b
    Examples:
      miltscan run
      miltscan run --config ./miltscan.toml
      miltscan run --shadow /etc/miltscan/candidate.toml
    """
    with exit_on_error():
        try:
            raise typer.Exit(run_service(load_settings(config), config, shadow))
        except KeyboardInterrupt:  # before the service handles signals
            raise typer.Exit(_INTERRUPTED) from None


def check(config: Config = None) -> None:
    """Check what the service needs.

    It prints one line per finding (clamd, folders, group, policy) with its remedy. The status is 1 after an error.

    \b
    Examples:
      miltscan check
      miltscan check --config ./miltscan.toml && systemctl reload miltscan
    """
    with exit_on_error():
        settings = load_settings(config)
    report = Diagnosis()
    postfix = postfix_finding(first_incoming())
    about = [file_finding(config), *([postfix] if postfix else [])]
    for finding in chain(asker_findings(settings), about, check_findings(settings, configuration=config)):
        report.add(0, finding)
        if not report.cause_of(finding):
            print_finding(finding)
    raise typer.Exit(int(any(finding.level is Level.ERROR for finding, _ in report.repairs())))
