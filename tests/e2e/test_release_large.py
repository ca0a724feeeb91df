"""Messages above limits.message_size, accepted or released: the delivery side lets them pass by their receipt."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from miltscan.quarantine.files import Files
from tests.e2e.test_receipt import site, tables
from tests.harness import client, preload
from tests.harness.client import new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich
from tests.harness.sandwich import private_folder

_FRIEND, _STRANGER = "friend@example.org", "stranger@example.org"
_RULES = [
    {"name": "large, of a friend", "when": {"reason": "too-large", "sender": _FRIEND}, "action": "accept"},
    {"name": "large, kept", "when": {"reason": "too-large", "sender": "<>"}, "action": "quarantine"},
]
_PADDING = (b"x" * 70 + b"\r\n") * 20_000


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """The policy rejects such messages, the rules of the incoming side accept or keep some."""
    with private_folder() as folder:
        settings: dict[str, Any] = {**tables(folder), "": {"rule": _RULES}, "limits": {"message_size": "1MiB"}}
        with ScanningSandwich(folder, settings, site=site(folder)) as running:
            yield running


def test_what_a_rule_accepts_is_delivered(sandwich: ScanningSandwich) -> None:
    """The client has received 250: the delivery side must not refuse the message for its size."""
    message_id = new_message_id()
    reply = sandwich.send(text_message(message_id) + _PADDING, sender=_FRIEND)
    assert reply.code == 250
    delivered = sandwich.mailbox.wait_for(message_id)
    assert delivered.message.get_all("X-Virus-Status") == ["Unscanned (too-large)"]
    assert "X-Miltscan-Receipt" not in delivered.message
    assert delivered.raw.endswith(_PADDING)
    lines = sandwich.miltscan.events("message", sender=f"<{_FRIEND}>")
    assert [(one["rule"], one["receipt"]) for one in lines] == [("large, of a friend", None), ("receipt", "valid")]


def test_without_a_receipt_the_delivery_side_refuses_it(sandwich: ScanningSandwich) -> None:
    """Nobody on this host gets around the limit."""
    for port in (sandwich.incoming.port, sandwich.delivery.port):
        reply = client.send(port, text_message(new_message_id()) + _PADDING, sender=_STRANGER)
        assert (reply.code, "Message too large" in reply.text) == (552, True)


def test_a_large_message_is_released(sandwich: ScanningSandwich) -> None:
    """The delivery side must not stop it again: that would be a release of which nothing arrives."""
    message_id = new_message_id()
    reply = sandwich.send(text_message(message_id) + _PADDING, sender="")
    entry = sandwich.miltscan.wait_for_message(queue_id=reply.queue_id)["entry"]
    program = [sys.executable, "-m", "miltscan", "quarantine", "release", entry]
    program += ["--config", str(sandwich.miltscan.configuration)]
    subprocess.run(program, check=True, env=os.environ | preload.environment(sandwich.folder), timeout=120)
    delivered = sandwich.mailbox.wait_for(message_id)
    assert delivered.message["X-Miltscan-Released"] == entry
    files = Files(sandwich.folder / "quarantine")
    assert sorted({*files.waiting(), *(one for day in files.days() for one in files.ids(day))}) == [entry]
