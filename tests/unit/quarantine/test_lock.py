"""The lock of a quarantine folder: one keeper at a time, whatever becomes of the folder and the process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from miltscan.errors import StoreError
from miltscan.quarantine.lock import NAME, KeeperLock

HOLDER = """
import sys, time
from pathlib import Path
from miltscan.quarantine.lock import KeeperLock
lock = KeeperLock(Path(sys.argv[1]))
print(lock.take(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.communicate()


def test_one_has_it(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    """The second does not get it, and learns whose it is; after kill -9 of the first it does."""
    lock = KeeperLock(tmp_path)
    assert not lock.take()
    assert lock.owner() == str(holder.pid)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert lock.take()
    assert lock.owner() == str(os.getpid())


def test_it_is_kept_until_released(tmp_path: Path) -> None:
    """Taking it again changes nothing; another one gets it only after its release."""
    first, second = KeeperLock(tmp_path), KeeperLock(tmp_path)
    assert (first.take(), first.take(), second.take()) == (True, True, False)
    first.release()
    assert second.take()


def test_a_folder_that_was_replaced_has_a_new_lock(tmp_path: Path) -> None:
    """Otherwise two keepers would work on the new one."""
    first, second = KeeperLock(tmp_path), KeeperLock(tmp_path)
    assert first.take()
    (tmp_path / NAME).unlink()
    assert second.take()
    assert not first.take()


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """The error names the folder."""
    with pytest.raises(StoreError, match=f"quarantine {tmp_path}/missing: No such file or directory"):
        KeeperLock(tmp_path / "missing").take()
    assert KeeperLock(tmp_path / "missing").owner() == ""
