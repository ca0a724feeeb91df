"""A message above limits.message_size: quarantined whole, released by a receipt that the delivery side verifies."""

import os
import subprocess
import sys
from typing import Any

from miltscan.quarantine.files import Files
from tests.e2e.test_receipt import site, tables
from tests.harness import preload
from tests.harness.client import new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich
from tests.harness.sandwich import private_folder

_POLICY = {"on_unscanned": {"too_large": "quarantine"}}
_PADDING = (b"x" * 70 + b"\r\n") * 20_000


def test_a_large_message_is_delivered() -> None:
    """The delivery side must not quarantine it again: that would be a release of which nothing arrives."""
    with private_folder() as folder:
        settings: dict[str, Any] = {**tables(folder), "policy": _POLICY, "limits": {"message_size": "1MiB"}}
        with ScanningSandwich(folder, settings, site=site(folder)) as sandwich:
            message_id = new_message_id()
            reply = sandwich.send(text_message(message_id) + _PADDING)
            entry = sandwich.miltscan.wait_for_message(queue_id=reply.queue_id)["entry"]
            program = [sys.executable, "-m", "miltscan", "quarantine", "release", entry]
            program += ["--config", str(sandwich.miltscan.configuration)]
            subprocess.run(program, check=True, env=os.environ | preload.environment(folder), timeout=120)
            delivered = sandwich.mailbox.wait_for(message_id)
            assert delivered.message["X-Miltscan-Released"] == entry
            files = Files(folder / "quarantine")
            assert sorted({*files.waiting(), *(one for day in files.days() for one in files.ids(day))}) == [entry]
