"""The page names the real cause of each fault, with the remedy that `check` gives for it."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """Two workers, one clamd."""
    with private_folder() as folder, ScanningSandwich(folder) as started:
        yield started


def status(sandwich: ScanningSandwich) -> dict[str, Any]:
    """The line at the top of the page, as `miltscan status --json` prints it."""
    answer = in_process("status", "--json", "--config", sandwich.miltscan.configuration)
    found: dict[str, Any] = json.loads(answer.stdout)["assessment"]
    return found


def wait_for(sandwich: ScanningSandwich, text: str) -> dict[str, Any]:
    """The first assessment in which a line has this text."""
    return wait_until(
        lambda: found if text in str((found := status(sandwich))["details"]) else None, PATIENCE, f"{text} on the page"
    )


def test_a_worker_that_hangs(sandwich: ScanningSandwich) -> None:
    """The other one scans mail: the page is yellow and names the worker, long before it is replaced."""
    worker = sandwich.miltscan.workers()[0]
    worker.suspend()
    found = wait_for(sandwich, ": hangs: no sign of life for")
    assert (found["level"], "there are warnings" in found["text"]) == ("warning", True)
    assert sandwich.miltscan.events("child_hangs") == []
    os.kill(worker.pid, signal.SIGCONT)
    wait_until(lambda: "hangs" not in str(status(sandwich)), PATIENCE, "a worker that works")


def test_a_temporary_folder_that_is_gone(sandwich: ScanningSandwich) -> None:
    """Clamd answers, and cannot scan: the page has the folder and the words of `check`."""
    shutil.rmtree(sandwich.clamd.temporary)
    try:
        found = wait_for(sandwich, f"temporary folder {sandwich.clamd.temporary}")
        assert (found["level"], found["text"].startswith("Mail is not being scanned: clients")) == ("error", True)
        checked = in_process("check", "--config", sandwich.miltscan.configuration).stdout
        (fault,) = (one for one in found["findings"] if one["level"] == "error")
        assert any(line.endswith(fault["remedy"]) for line in checked.splitlines() if "fails its self-test" in line)
    finally:
        sandwich.clamd.temporary.mkdir()
    wait_until(lambda: sandwich.miltscan.ready, PATIENCE, "an engine that is up")


def test_a_socket_of_another_process(sandwich: ScanningSandwich) -> None:
    """Miltscan can scan, and no mail reaches it: the page does not promise what the policy says about engines."""
    assert sandwich.milter_socket
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(sandwich.folder / "run" / "other"))
        other.listen(1)
        (sandwich.folder / "run" / "other").rename(sandwich.milter_socket)
        found = wait_for(sandwich, "milter.socket: its file is missing or belongs to another process")
        assert found["text"].startswith("Mail is not being scanned: sendmail cannot reach miltscan")
        assert "systemctl restart miltscan" in found["findings"][0]["remedy"]
    wait_until(lambda: sandwich.miltscan.ready, PATIENCE, "a socket that is bound again")
