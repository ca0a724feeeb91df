"""`policy`: the commands for the rules, in the order of its help."""

from miltscan.commands.common import command_group
from miltscan.commands.policy import check_policy, show_policy
from miltscan.commands.policy_explain import explain_policy
from miltscan.commands.policy_replay import replay_policy

policy_app = command_group(
    "Check, show and explain the rules.",
    "Example: miltscan policy check && miltscan policy show",
    {
        "check": check_policy,
        "show": show_policy,
        "explain": explain_policy,
        "replay": replay_policy,
    },
)
