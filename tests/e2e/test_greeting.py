"""The exporter greets both real sendmails: a dead, hung or overloaded one is named, and no session leaves a line."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from miltscan.sandwich.greeting import greets
from tests.harness.client import text_message
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder
from tests.harness.watched import WatchedSandwich


@pytest.fixture(scope="module")
def sandwich() -> Iterator[WatchedSandwich]:
    """A sandwich with miltscan and its exporter."""
    with private_folder() as folder, WatchedSandwich(folder) as started:
        yield started


def assessment(sandwich: WatchedSandwich) -> dict[str, Any]:
    """Return the line at the top of the page."""
    found: dict[str, Any] = json.loads(sandwich.miltscan.get("/api/status"))["assessment"]
    return found


def test_a_greeting_leaves_no_line(sandwich: WatchedSandwich) -> None:
    """Both sendmails log nothing of it, at their default LogLevel and with their filter."""
    log = sandwich.syslog.file
    for sendmail in (sandwich.incoming, sandwich.delivery):
        before = log.read_text() if log.exists() else ""
        for _ in range(3):
            assert asyncio.run(greets("127.0.0.1", sendmail.port))
        # what a later session logs is behind what the former ones had logged
        sandwich.send(text_message("A message behind the greetings"))
        sandwich.wait_until_empty()
        assert "did not issue" not in log.read_text()[len(before) :]
        assert "lost input channel" not in log.read_text()[len(before) :]


def test_a_dead_delivery_sendmail_is_named(sandwich: WatchedSandwich) -> None:
    """The page is red and has the number of waiting messages and the remedy; the metric is 0."""
    wait_until(lambda: 'sendmail_up{queue="delivery"} 1.0' in sandwich.miltscan.get("/metrics"), PATIENCE, "a greeting")
    sandwich.delivery.stop()
    sandwich.send(text_message("It has to wait"))
    wait_until(lambda: "incoming queue (messages: 1)" in str(assessment(sandwich)["details"]), PATIENCE, "the page")
    found = assessment(sandwich)
    assert (found["level"], "not delivered" in found["text"]) == ("error", True)
    assert found["findings"][0]["remedy"] == "run: systemctl start miltscan-delivery, and read its log"
    assert 'sendmail_up{queue="delivery"} 0.0' in sandwich.miltscan.get("/metrics")
    sandwich.delivery.start()
    sandwich.delivery.wait_ready()
    sandwich.incoming.drain()
    wait_until(lambda: "not delivered" not in assessment(sandwich)["text"], PATIENCE, "a page without the fault")


def test_a_hung_delivery_sendmail_is_named(sandwich: WatchedSandwich) -> None:
    """It accepts connections, as the kernel does it, and does not greet."""
    pid = sandwich.delivery.running.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: "does not greet" in str(assessment(sandwich)["details"]), PATIENCE, "the page")
        assert "restart miltscan-delivery" in assessment(sandwich)["findings"][0]["remedy"]
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: "not delivered" not in assessment(sandwich)["text"], PATIENCE, "a page without the fault")
