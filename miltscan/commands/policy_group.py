"""`policy`: the commands for the rules, in the order of its help."""

import typer

from miltscan.commands.policy import check_policy, show_policy
from miltscan.commands.policy_explain import explain_policy
from miltscan.commands.policy_replay import replay_policy

policy_app = typer.Typer(
    help="Check, show and explain the rules.",
    epilog="Example: miltscan policy check && miltscan policy show",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
policy_app.command("check")(check_policy)
policy_app.command("show")(show_policy)
policy_app.command("explain")(explain_policy)
policy_app.command("replay")(replay_policy)
