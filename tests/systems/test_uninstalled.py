"""docs/upgrade.md on a booted machine, after all other tests: `make uninstall` leaves nothing, and sendmail is back."""

import re

from tests.harness.programs import CHECKOUT
from tests.systems.machine import Machine
from tests.systems.test_package import left, wait_until_sendmail_is_back


def test_uninstall(machine: Machine) -> None:
    """Every command of the section succeeds, in its order."""
    section = (CHECKOUT / "docs/upgrade.md").read_text().split("\n## Uninstall\n")[1]
    for command in re.findall(r"^ {7}(\S.*)$", section, re.MULTILINE):
        machine.run(command)
    assert left(machine) == []
    assert not machine.succeeds("getent passwd miltscan")
    wait_until_sendmail_is_back(machine)
