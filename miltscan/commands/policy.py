"""`policy`: checks and shows the rules."""

# ruff: noqa: D301  a real \b keeps the lines of an example

from typing import Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.policy_view import rule_fields, rules_text
from miltscan.commands.tables import counted, terminal_width
from miltscan.commands.terminal import say, say_json
from miltscan.config.load import load_settings
from miltscan.config.rules import RuleSettings
from miltscan.config.settings import Settings
from miltscan.core.rules import Rule
from miltscan.errors import ConfigError, MiltscanError
from miltscan.scanning.sources import Sources
from miltscan.telemetry.log import logger

policy_app = typer.Typer(help="Check, show and explain the rules.", no_args_is_help=True, rich_markup_mode=None)


def check_policy(config: Config = None) -> None:
    """Check the rules.

    It reads the configuration with the files of rules, and the sources of values that they name. Each mistake is a
    line. The status is 2 if there is one, else 0.

    \b
    Examples:
      miltscan policy check
      miltscan policy check --config ./miltscan.toml && systemctl reload miltscan
    """
    with exit_on_error():
        rules = made_rules(load_settings(config))
    observed = sum(not given.enforce for given, _ in rules)
    not_enforced = f", of which {observed} not enforced" if observed else ""
    say(f"{counted(len(rules), 'rule')}{not_enforced}: no mistake")


def show_policy(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each rule.")] = False,
    config: Config = None,
) -> None:
    """Show the rules in their order.

    The first one that matches decides; after the last one [policy] does (miltscan config).

    \b
    Examples:
      miltscan policy show
      miltscan policy show --json | jq -r 'select(.enforced | not) | .name'
    """
    with exit_on_error():
        rules = made_rules(load_settings(config))
    if json:
        for given, rule in rules:
            say_json(rule_fields(given, rule))
    elif rules:
        say("\n".join(rules_text(rules, terminal_width())))
    else:
        say("no rules: [policy] decides (miltscan config)")


policy_app.command("check")(check_policy)
policy_app.command("show")(show_policy)


def made_rules(settings: Settings) -> list[tuple[RuleSettings, Rule]]:
    """Each rule as configured and as made. Raises ConfigError with a line for each source that cannot be used."""
    sources = Sources(settings.policy.access_map, logger)
    made, lines = list[tuple[RuleSettings, Rule]](), dict[str, None]()
    for given in settings.rule:
        try:
            made.append((given, given.rule(sources.open)))
        except MiltscanError as error:
            lines[f'rule "{given.name}": {error}'] = None
    if lines:
        raise ConfigError("\n".join(lines))
    return made
