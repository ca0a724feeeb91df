"""The keeper behind real programs: a signature that is withdrawn gives its messages back."""

from collections.abc import Iterator
from typing import Any

import pytest

from miltscan.quarantine.entry import State
from miltscan.quarantine.files import Files
from tests.fakes.eicar import EICAR
from tests.harness.clamav import Clamd, write_database
from tests.harness.client import new_message_id, text_message
from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

WORD = b"an invoice that looks like others"
KNOWN = {"Eicar-Test-Signature": EICAR}
HASTY = {**KNOWN, "Test.Invoice": WORD}


@pytest.fixture
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich whose clamd detects an invoice by mistake, with an area that releases what is cleared."""
    tables: dict[str, dict[str, Any]] = {
        "clamd": {"canary_interval": "1s"},
        "policy": {"on_infected": "quarantine"},
        "quarantine.area.default": {"release_clean": True},
    }
    with private_folder() as folder:
        socket = folder / "clamd" / "clamd.ctl"
        sandwich = ScanningSandwich(folder, tables, [f"unix:{socket}"])
        tables["delivery"] = {"server": f"inet:{sandwich.delivery.port}@127.0.0.1"}
        sandwich.clamd = Clamd.prepare(sandwich.programs, test_database=True)
        (sandwich.clamd.database / "eicar.ndb").unlink()
        write_database(sandwich.clamd.database, 101, HASTY)
        sandwich.clamd.start()
        sandwich.clamd.wait_ready()
        with sandwich:
            yield sandwich


def test_a_withdrawn_signature_releases_its_messages(sandwich: ScanningSandwich) -> None:
    """Signature removed, clamd reloaded: cleared, and delivered by the delivery sendmail; a virus stays where it is."""
    wait_until(lambda: sandwich.miltscan.metric("signature_database_version") == 101, PATIENCE, "a dated database")
    message_id = new_message_id()
    kept = sandwich.send(text_message(message_id, body=WORD + b"\r\n"))
    virus = sandwich.send(text_message(new_message_id(), body=EICAR + b"\r\n"))
    assert (kept.code, virus.code) == (250, 250)
    entry, infected = (sandwich.miltscan.wait_for_message(queue_id=one.queue_id)["entry"] for one in (kept, virus))
    files = Files(sandwich.folder / "quarantine")
    wait_until(lambda: not files.waiting(), PATIENCE, "an index with both")
    assert sandwich.mailbox.find(message_id) == []

    write_database(sandwich.clamd.database, 102, KNOWN)
    sandwich.clamd.reload()
    delivered = sandwich.mailbox.wait_for(message_id)
    assert delivered.message["X-Miltscan-Released"] == entry
    wait_until(lambda: files.read(entry).state is State.RELEASED, PATIENCE, "a release that is recorded")
    (cleared,) = wait_until(lambda: sandwich.miltscan.events("entry_cleared"), PATIENCE, "its line")
    assert (cleared["entry"], cleared["signature"]) == (entry, "Test.Invoice.UNOFFICIAL")
    (line,) = wait_until(lambda: sandwich.miltscan.events("released"), PATIENCE, "its line")
    assert (line["queue_id"], line["by"]) == (kept.queue_id, "keeper")
    wait_until(lambda: sandwich.miltscan.events("rescanned", detected=1, cleared=1), PATIENCE, "the end of the rescans")
    assert files.read(infected).state is State.STORED
    assert len(sandwich.mailbox.find(message_id)) == 1

    logs = ["--log", str(sandwich.syslog.file), "--log", str(sandwich.miltscan.running.log)]
    text = in_process("trace", *logs, kept.queue_id).stdout
    assert f"releases entry {entry}" in text
    assert "delivered" in text
