"""`policy`: checks and shows the rules."""

# ruff: noqa: D301  a real \b keeps the lines of an example

from typing import Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.policy_view import rule_fields, rules_text
from miltscan.commands.tables import counted, terminal_width
from miltscan.commands.terminal import say, say_json
from miltscan.config.load import load_settings
from miltscan.config.rules import NO_SOURCE, RuleSettings
from miltscan.config.settings import Settings
from miltscan.core.rules import Rule
from miltscan.errors import ConfigError
from miltscan.scanning.assemble import source_faults


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
        settings = load_settings(config)
        if faults := source_faults(settings):
            raise ConfigError("\n".join(faults))
    observed = sum(not one.enforce for one in settings.rule)
    not_enforced = f", of which {observed} not enforced" if observed else ""
    say(f"{counted(len(settings.rule), 'rule')}{not_enforced}: no mistake")


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
        rules = _made(load_settings(config))
    if json:
        for given, rule in rules:
            say_json(rule_fields(given, rule))
    elif rules:
        say("\n".join(rules_text(rules, terminal_width())))
    else:
        say("no rules: [policy] decides (miltscan config)")


def _made(settings: Settings) -> list[tuple[RuleSettings, Rule]]:
    """Each rule as configured and as made, without what its sources name."""
    return [(given, given.rule(lambda _text, _check: NO_SOURCE)) for given in settings.rule]
