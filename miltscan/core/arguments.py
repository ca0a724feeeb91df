"""Reads an option from another program's command line, by the rules of getopt(3). It starts and inspects no process."""

from collections.abc import Sequence


def option_value(arguments: Sequence[str], *names: str) -> str:
    """The value of the first option with one of `names`, such as `-C` or `--config-file`; empty if it is absent.

    The value may follow in the same argument (`-Cfile`, `--config-file=file`) or be the next argument.
    """
    for argument, following in zip(arguments, (*arguments[1:], ""), strict=False):
        for name in names:
            if argument.startswith(name):
                return argument.removeprefix(name).removeprefix("=") or following
    return ""
