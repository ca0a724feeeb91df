"""How many descriptors the service gets: enough for 10,000 idle sessions, and for what is under way beside."""

import re

from tests.harness.programs import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
NEEDED = 3 * 10_000  # of a session, its message's file, and its connection to clamd


def test_the_unit_and_the_sysv_script_agree() -> None:
    """Each sets a limit; the usual one, 1024, would hold up the next message beside a thousand idle sessions."""
    (unit,) = re.findall(r"^LimitNOFILE=(\d+)$", (DEPLOY / "systemd" / "miltscan.service").read_text(), re.MULTILINE)
    (script,) = re.findall(r"ulimit -n (\d+)", (DEPLOY / "sysv" / "miltscan-sandwich").read_text())
    assert int(unit) == int(script) >= NEEDED
