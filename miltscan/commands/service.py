"""`run` and `check`: the service, and a look at what it needs."""

# ruff: noqa: PLC0415, D301  as in `common`; a real \b keeps the lines of an example

from functools import partial

import typer

from miltscan.commands.common import COLORS, Config, told
from miltscan.config.settings import load_settings


def run(config: Config = None) -> None:
    """Run the service.

    It stays in the foreground. SIGHUP reads the configuration again, SIGTERM drains and ends.

    \b
    Examples:
      miltscan run
      miltscan run --config ./miltscan.toml
    """
    with told():
        from miltscan.config.apart import in_child
        from miltscan.daemon.run import run_service

        raise typer.Exit(run_service(in_child(partial(load_settings, config)), config))


def check(config: Config = None) -> None:
    """Look at what the service needs.

    One line per finding (clamd, folders, group, policy) with its remedy; status 1 if something would break.

    \b
    Examples:
      miltscan check
      miltscan check --config ./miltscan.toml && systemctl reload miltscan
    """
    with told():
        settings = load_settings(config)
    from miltscan.core.finding import Level
    from miltscan.doctor.check import check_findings

    failed = False
    for finding in check_findings(settings):
        typer.secho(str(finding), fg=COLORS.get(finding.level))
        failed |= finding.level is Level.ERROR
    raise typer.Exit(int(failed))
