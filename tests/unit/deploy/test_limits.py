"""The limit of descriptors of the service: enough for 10,000 idle sessions and for the messages in flight."""

import re

from tests.harness.programs import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
NEEDED = 3 * 10_000  # of a session, its message's file, and its connection to clamd


def test_the_unit_and_the_sysv_script_agree() -> None:
    """Both set the limit: with the usual 1024, a thousand idle sessions would block the next message."""
    (unit,) = re.findall(r"^LimitNOFILE=(\d+)$", (DEPLOY / "systemd" / "miltscan.service").read_text(), re.MULTILINE)
    (script,) = re.findall(r"ulimit -n (\d+)", (DEPLOY / "sysv" / "miltscan-sandwich").read_text())
    assert int(unit) == int(script) >= NEEDED
