"""A clamd whose temporary folder is full, too small, gone or read-only says OK to infected mail: none is accepted."""

import io
import random
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.eicar import EICAR
from tests.harness import messages
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

SELDOM: Tables = {"clamd": {"canary_interval": "1h"}, "milter": {"workers": 2}}
"""No self-test helps: a message may arrive right after one."""
BOMB = messages.zipped("zeros", bytes(90_000_000))  # 90 KB


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own on a folder, of this size."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remount(folder: Path, options: str) -> None:
    """Change the options of a mounted file system, once no scan writes there."""
    command = ["mount", "-o", f"remount,{options}", str(folder)]
    wait_until(lambda: subprocess.run(command, check=False).returncode == 0, PATIENCE, "a file system that is idle")


@pytest.fixture(scope="module")
def started() -> Iterator[ScanningSandwich]:
    """A sandwich whose engine is tested once."""
    with private_folder() as folder, ScanningSandwich(folder, SELDOM) as sandwich:
        yield sandwich


@pytest.fixture
def sandwich(started: ScanningSandwich) -> ScanningSandwich:
    """The same, with an engine that is up and its whole temporary folder."""
    assert started.retry(messages.as_wire(messages.message("Whole again"))).code == 250
    return started


def infected(size: int, seed: int) -> bytes:
    """The test signature behind `size` bytes in a zip archive that is not compressed."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        file.writestr("filler", random.Random(seed).randbytes(size))  # noqa: S311 - sample data
        file.writestr("eicar.com", EICAR)
    return messages.as_wire(messages.with_attachment(f"Infected, {size} bytes", archive.getvalue(), "a.zip"))


def codes(sandwich: ScanningSandwich, *sizes: int) -> set[int]:
    """The replies to infected messages of these sizes, four at a time."""
    with ThreadPoolExecutor(4) as clients:
        return {reply.code for reply in clients.map(sandwich.send, map(infected, sizes, range(len(sizes))))}


def test_with_room_they_are_found(sandwich: ScanningSandwich) -> None:
    """With room in the folder the messages of the tests below are found infected."""
    assert codes(sandwich, 1000, 400_000, 3_000_000) == {550}


def test_a_nearly_full_folder(sandwich: ScanningSandwich) -> None:
    """No infected message of any size is accepted, from the first one on."""
    with mounted(sandwich.clamd.temporary, "256k"):
        assert codes(sandwich, *[1000, 100_000, 200_000, 400_000, 1_000_000, 3_000_000] * 2) <= {451, 550}
        wait_until(lambda: not sandwich.miltscan.ready, PATIENCE, "a service that is not ready")
    reasons = {line["reason"] for line in sandwich.miltscan.events("message", outcome="unscanned")}
    assert reasons <= {"engine-unable", "no-engine"}
    assert "MiB are needed" in sandwich.miltscan.events("engine_down")[-1]["why"]


def test_a_folder_that_bombs_fill(sandwich: ScanningSandwich) -> None:
    """No infected message is accepted while six senders of a small archive of zeros fill the folder."""
    stop = threading.Event()

    def sender(number: int) -> None:
        while not stop.is_set():
            sandwich.send(messages.as_wire(messages.with_attachment(f"Bomb {number}", BOMB, "b.zip")))

    with mounted(sandwich.clamd.temporary, "60m"), ThreadPoolExecutor(6) as senders:
        try:
            for number in range(6):
                senders.submit(sender, number)
            assert codes(sandwich, *[300_000, 30_000, 1_000_000] * 8) <= {451, 550}
        finally:
            stop.set()
        assert sandwich.miltscan.metric("unscanned_total", reason="engine-unable") > 0
        wait_until(lambda: sandwich.miltscan.metric("engine_degraded") == 1, PATIENCE, "a degraded engine")


def test_a_folder_that_vanishes(sandwich: ScanningSandwich) -> None:
    """The first infected message after that is not accepted."""
    temporary = sandwich.clamd.temporary
    away = temporary.rename(temporary.with_name("away"))
    assert sandwich.send(infected(1000, 1)).code == 451
    assert codes(sandwich, 1000, 400_000) == {451}
    away.rename(temporary)


def test_a_file_system_that_becomes_read_only(sandwich: ScanningSandwich) -> None:
    """No infected message is accepted on a read-only file system, as after errors of a disk."""
    with mounted(sandwich.clamd.temporary, "500m"):
        assert sandwich.retry(messages.as_wire(messages.message("On the new file system"))).code == 250
        remount(sandwich.clamd.temporary, "ro")
        assert codes(sandwich, 1000, 400_000, 3_000_000) <= {451, 550}
        remount(sandwich.clamd.temporary, "rw")
