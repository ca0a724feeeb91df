"""The quarantine on a booted machine: the unit's folder, which is the only place for messages that it may write to."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.eicar import EICAR
from tests.harness.client import new_message_id
from tests.harness.messages import as_wire, with_attachment
from tests.harness.processes import wait_until
from tests.systems.machine import PATIENCE, Machine

FOLDER = "/var/lib/miltscan/quarantine"
SETTINGS = "/etc/miltscan/miltscan.toml"


@pytest.fixture
def keeping(machine: Machine) -> Iterator[Machine]:
    """The machine, whose policy quarantines infected mail."""
    before = machine.file(SETTINGS).read_text()
    machine.file(SETTINGS).write_text(f'policy.on_infected = "quarantine"\n{before}')
    machine.run("systemctl restart miltscan")
    yield machine
    machine.file(SETTINGS).write_text(before)
    machine.run("systemctl restart miltscan")


def infected() -> bytes:
    """A message with the test signature, which no other test sends."""
    return as_wire(with_attachment(new_message_id(), EICAR, "eicar.com"))


def entries(machine: Machine) -> set[str]:
    """The IDs of all entries."""
    return {Path(line).stem for line in machine.run(f"find {FOLDER} -name '*.entry'").split()}


def test_the_unit_stores_and_root_releases(keeping: Machine) -> None:
    """Infected mail is accepted and stored for miltscan's user alone, also after a reboot, and can be released."""
    wait_until(lambda: keeping.send(infected()).code == 250, PATIENCE, "mail that is quarantined")
    (entry, *_) = sorted(entries(keeping))
    modes = keeping.run(f"stat -c '%U %a' {FOLDER}/.. {FOLDER} $(find {FOLDER} -name '{entry}.entry')")
    assert modes.splitlines() == ["miltscan 700", "miltscan 700", "miltscan 600"]
    assert EICAR.decode() not in keeping.mailbox
    keeping.reboot()
    assert entry in entries(keeping)
    listed = keeping.run("miltscan quarantine list --json --limit 0")  # as root, which becomes the folder's owner
    assert entry in listed
    result = json.loads(keeping.run(f"miltscan quarantine release --json {entry} --infected --reason wanted"))
    (queue_id,) = {one["queue_id"] for one in result["deliveries"]}
    wait_until(lambda: f"X-Miltscan-Released: {entry}" in keeping.mailbox, PATIENCE, "the message in the mailbox")
    assert set(keeping.run(f"find {FOLDER} -printf '%u '").split()) == {"miltscan"}
    keeping.send(infected())  # and the service stores on
    wait_until(lambda: len(entries(keeping)) > 1, PATIENCE, "another entry")
    assert f"{queue_id}: to=" in keeping.run("journalctl --no-pager -t delivery")


def test_check_is_content(keeping: Machine) -> None:
    """As installed, the folder and the way out of the quarantine have no error."""
    found = keeping.run("miltscan check || true")
    assert not [line for line in found.splitlines() if line.startswith("error") and "quarantine" in line]
    assert "delivery.server: inet:19000@127.0.0.1 accepts mail from this host" in found
