"""Work that may wait for ever is tried in a copy of the process, which is killed at a bound."""

import errno
import os
from pathlib import Path

import psutil
import pytest

from miltscan.errors import StartError
from miltscan.processes.rehearsal import ends_within, rehearse


def test_work_that_ends(tmp_path: Path) -> None:
    """Work ends in time with a result or an exception, and happens in another process."""
    assert ends_within(60, lambda: (tmp_path / "pid").write_text(str(os.getpid())))
    assert (tmp_path / "pid").read_text() != str(os.getpid())
    assert ends_within(60, lambda: 1 / 0)


def test_what_cannot_be_rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says that a disk does not answer, or that no process can be started."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StartError, match=r"did not answer within 0\.1 s"):
        rehearse((tmp_path / "fifo").read_bytes, 0.1)
    rehearse(lambda: 1 / 0, 60)

    def fork() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(StartError, match="cannot start a process"):
        rehearse(list, 60)


def test_work_that_waits_for_ever(tmp_path: Path) -> None:
    """A file that does not answer costs the bound, and no process is left."""
    before = psutil.Process().children()
    os.mkfifo(tmp_path / "fifo")
    assert not ends_within(0.1, (tmp_path / "fifo").read_bytes)
    assert psutil.Process().children() == before
