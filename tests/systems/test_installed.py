"""What docs/install.md installs, on a booted machine: every unit runs, mail flows, and it does so after a reboot."""

from tests.harness.client import new_message_id, text_message
from tests.harness.messages import as_wire, infected
from tests.harness.processes import wait_until
from tests.systems.machine import PATIENCE, Machine

UNITS = "miltscan miltscan-delivery miltscan-incoming clamav-daemon"


def mail_flows(machine: Machine) -> None:
    """A clean message reaches the mailbox, an infected one is refused."""
    message_id = new_message_id()
    reply = wait_until(lambda: _accepted(machine, message_id), PATIENCE, "clean mail that is accepted")
    assert reply
    wait_until(lambda: message_id in machine.mailbox, PATIENCE, f"{message_id} in the mailbox")
    assert machine.send(as_wire(infected())).code == 550


def _accepted(machine: Machine, message_id: str) -> bool:
    return machine.send(text_message(message_id)).code == 250


def test_readme(machine: Machine) -> None:
    """Every command of docs/install.md succeeds, its units run, and mail is scanned and delivered."""
    machine.run(f"systemctl is-active {UNITS}")
    mail_flows(machine)
    machine.run("miltscan check")
    machine.run("miltscan doctor --send | tee /dev/stderr | grep '^errors: 0'")  # but warnings: no port 587


def test_reboot(machine: Machine) -> None:
    """After a reboot the same units run, no unit of the sandwich has failed, and mail flows."""
    machine.reboot()
    machine.run(f"systemctl is-active {UNITS}")
    assert "miltscan" not in machine.run("systemctl --failed --plain --no-legend")
    mail_flows(machine)
