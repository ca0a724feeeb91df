"""Work in a child process: what it returns or raises comes back, and nothing else of it stays."""

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from miltscan.config.apart import answer, in_child
from miltscan.config.settings import Settings, load_settings
from miltscan.errors import ConfigError, MiltscanError, StartError
from tests.harness.processes import PATIENCE, ProgramError, wait_until


def open_files() -> list[str]:
    """The descriptors of this process, without that of the look itself."""
    return sorted(file.name for file in Path("/proc/self/fd").iterdir())


def _hang() -> None:
    while True:
        time.sleep(60)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _exit() -> None:
    sys.exit(0)


def _garbage() -> object:
    return _Unreadable()


class _Unreadable:
    """Is pickled as something that cannot be made again."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("no number",)


class _OtherError(MiltscanError):
    """An error of a kind of its own."""


def test_settings_come_back(tmp_path: Path) -> None:
    """As they would have been read here."""
    file = tmp_path / "miltscan.toml"
    file.write_text("milter.workers = 7\nclamd.servers = ['unix:/a', 'inet:1@b']")
    assert in_child(lambda: load_settings(file)) == load_settings(file) != Settings()


def test_the_work_is_done_elsewhere() -> None:
    """That is the point."""
    assert in_child(os.getpid) != os.getpid()


@pytest.mark.parametrize("error", [ConfigError("f: one\nf: two"), StartError("no"), _OtherError("other")])
def test_an_error_of_ours_is_raised_here(error: MiltscanError) -> None:
    """With its kind, which says the exit status, and its text."""

    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        in_child(work)
    assert str(caught.value) == str(error)


@pytest.mark.parametrize(
    ("work", "told"),
    [
        (_die, "the configuration could not be read: the process that did it has died"),
        (_exit, "the configuration could not be read: the process that did it has died"),
        (_garbage, "the configuration could not be read: the process that did it has died"),
        (lambda: 1 // 0, "the configuration could not be read: ZeroDivisionError: integer division or modulo by zero"),
    ],
    ids=["killed", "exit", "garbage", "a bug"],
)
def test_a_child_that_fails_is_one_line(work: Callable[[], object], told: str) -> None:
    """Never a hang, a traceback, or an answer that is none."""
    with pytest.raises(StartError) as caught:
        in_child(work)
    assert str(caught.value) == told


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Where an answer is read, and where it is written."""
    ours, theirs = os.pipe()
    yield ours, theirs
    for end in (ours, theirs):
        with suppress(OSError):  # closed by the test
            os.close(end)


def test_half_an_answer_is_none(pipe: tuple[int, int]) -> None:
    """As from a child that is killed under way."""
    ours, theirs = pipe
    os.write(theirs, pickle.dumps(Settings())[:-1])
    os.close(theirs)
    with pytest.raises(StartError, match="the process that did it has died"):
        answer(ours, 30)


@pytest.mark.parametrize("sent", [b"", b"\x80", b"\0\0\0\4abc", pickle.dumps(Settings())])
def test_an_answer_that_does_not_end_is_not_waited_for(pipe: tuple[int, int], sent: bytes) -> None:
    """As from a child that is stopped under way, be it after the last byte: the service has others to see to."""
    ours, theirs = pipe
    os.write(theirs, sent)
    with pytest.raises(StartError, match=r"within 0\.1 s$"):
        answer(ours, 0.1)


def test_a_long_answer(tmp_path: Path) -> None:
    """More than a pipe holds."""
    assert in_child(lambda: str(tmp_path) * 50_000) == str(tmp_path) * 50_000


def test_a_child_that_hangs_is_killed() -> None:
    """A file on a network that is away must not hold a service for ever."""
    with pytest.raises(StartError, match=r"^the configuration could not be read within 0\.1 s$"):
        in_child(_hang, patience=0.1)


def test_a_child_does_not_outlive_its_time_though_nobody_kills_it(tmp_path: Path) -> None:
    """Its parent may have been killed: what both had open, sockets and pipes, must not stay open for ever."""
    told = tmp_path / "pid"

    def work() -> None:
        told.with_suffix(".new").write_text(str(os.getpid()))
        told.with_suffix(".new").rename(told)
        _hang()

    parent = os.fork()
    if parent == 0:
        try:
            in_child(work, patience=1)
        finally:
            os._exit(1)
    try:
        wait_until(told.exists, PATIENCE, "the child")
    finally:
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
    child = int(told.read_text())
    try:
        wait_until(partial(_ended, child), PATIENCE, "the child's end")
    except ProgramError:
        os.kill(child, signal.SIGKILL)
        raise


def _ended(pid: int) -> bool:
    """Whether nothing is left of it, but for what whoever has it now may reap."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_nothing_stays() -> None:
    """Neither a descriptor nor a process."""
    before, children = open_files(), psutil.Process().children()
    for work in (os.getpid, _die, _hang):
        try:
            in_child(work, patience=0.1)
        except StartError:
            continue
    assert open_files() == before
    assert psutil.Process().children() == children


def test_a_process_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full machine is named."""

    def fork() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    before = open_files()
    with pytest.raises(StartError, match="no process could be made to read the configuration: Resource temporarily"):
        in_child(os.getpid)
    assert open_files() == before


def test_a_descriptor_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """As above: what a reload raises that is no error of ours would end the service."""

    def pipe() -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(StartError, match="no process could be made to read the configuration: Too many open files"):
        in_child(os.getpid)
