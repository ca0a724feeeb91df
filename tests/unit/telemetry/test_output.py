"""Standard output: whole lines in order, no write that waits, and every lost line counted and reported."""

import errno
import json
import os
import pty
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog

from docs.generator import log_events
from miltscan.telemetry import log, output, service_metrics
from miltscan.telemetry.family import Family
from miltscan.telemetry.output import Output, Write, unwaiting

FAMILIES: tuple[Family[Any], ...] = (service_metrics.LOG_LINES_LOST, service_metrics.LOG_STALLED)
FULL = BlockingIOError(errno.EAGAIN, "full")
DISK_FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def _unconfigured_after() -> Iterator[None]:
    yield
    structlog.reset_defaults()


class Reader:
    """A reader of lines that takes `room` bytes more, or fails with `error`."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.error: OSError = FULL
        self.taken = b""

    def write(self, line: bytes) -> int:
        """Take what fits."""
        size = min(self.room, len(line))
        if not size:
            raise self.error
        self.room -= size
        self.taken += line[:size]
        return size


def _output(reader: Reader) -> Output:
    return Output(b"%d lost\n".__mod__, reader.write)


def _counted() -> tuple[float, float]:
    """Return the lines lost, and whether the log is stalled."""
    lost, stalled = (next(iter(family.child().collect())).samples[0].value for family in FAMILIES)
    return lost, stalled


def test_lines_wait_in_order_while_the_reader_is_slow() -> None:
    """Lines that find no room are written later, in order and whole, and none is lost."""
    reader = Reader(7)
    out = _output(reader)
    for number in range(5):
        out.line(b"line %d\n" % number)
    assert (reader.taken, _counted()) == (b"line 0\n", (0, 1))
    reader.room = 9
    out.flush()
    assert reader.taken == b"line 0\nline 1\nli"
    reader.room = 1000
    out.line(b"line 5\n")
    assert reader.taken == b"".join(b"line %d\n" % number for number in range(6))
    assert _counted() == (0, 0)


def test_lines_beyond_the_buffer_are_lost_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffer is bounded; the report stands where lines are missing, and later lines follow it."""
    monkeypatch.setattr(output, "BUFFER", 20)
    reader = Reader()
    out = _output(reader)
    for number in range(5):
        out.line(b"line %d\n" % number)
    assert _counted() == (3, 1)
    reader.room = 17
    out.line(b"line 5\n")  # the report has no room yet, and this line waits behind it
    reader.room = 1000
    out.line(b"line 6\n")
    assert reader.taken == b"line 0\nline 1\n3 lost\nline 5\nline 6\n"
    assert _counted() == (3, 0)


def test_a_flush_reports_when_no_line_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet process reports its lost lines, too, as soon as the reader is back."""
    monkeypatch.setattr(output, "BUFFER", 0)
    reader = Reader()
    out = _output(reader)
    out.line(b"lost\n")
    out.flush()
    reader.room = 1000
    out.flush()
    assert (reader.taken, _counted()) == (b"1 lost\n", (1, 0))


def test_a_refused_line_is_lost_at_once() -> None:
    """A full disk does not fill the memory, each line is counted once, and the report comes when there is space."""
    reader = Reader()
    reader.error = DISK_FULL
    out = _output(reader)
    for number in range(3):
        out.line(b"line %d\n" % number)
    out.flush()
    assert _counted() == (3, 1)
    reader.room = 1000
    out.line(b"line 3\n")
    assert (reader.taken, _counted()) == (b"3 lost\nline 3\n", (3, 0))


def test_a_line_of_which_a_part_was_written_is_ended() -> None:
    """A disk that fills within a line leaves half of it; the next line begins at a place of its own."""
    reader = Reader(4)
    reader.error = DISK_FULL
    out = _output(reader)
    for number in range(3):
        out.line(b"line %d\n" % number)
    reader.room = 1000
    out.line(b"line 3\n")
    assert (reader.taken, _counted()) == (b"line\n3 lost\nline 3\n", (3, 0))


def test_the_end_of_a_process_waits_only_so_long() -> None:
    """Lines that still wait at the end are lost and counted."""
    out = _output(Reader())
    out.line(b"line\n")
    out.close(0.01)
    assert _counted() == (1, 1)


def test_a_disk_that_hangs_holds_one_thread() -> None:
    """Other threads lose their lines and go on; when the disk answers, the loss is reported."""
    hangs, goes_on = threading.Event(), threading.Event()
    reader = Reader(1000)

    def write(line: bytes) -> int:
        hangs.set()
        assert goes_on.wait(60)
        return reader.write(line)

    out = Output(b"%d lost\n".__mod__, write)
    held = threading.Thread(target=out.line, args=(b"held\n",))
    held.start()
    assert hangs.wait(60)
    for _ in range(100):
        out.line(b"lost\n")
    out.flush()
    out.close(0)
    assert _counted() == (100, 1)
    goes_on.set()
    held.join()
    out.line(b"next\n")
    assert reader.taken == b"held\n100 lost\nnext\n"


def test_a_fork_does_not_repeat_what_waits() -> None:
    """The lines that wait in a process are written by it alone."""
    reading, writing = os.pipe()
    reader = Reader()
    out = _output(reader)
    out.line(b"line\n")
    child = os.fork()
    if child == 0:
        reader.room = 1000
        out.line(b"child\n")
        os.write(writing, reader.taken)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1000) == b"child\n"
    os.close(reading)
    os.close(writing)


def _pipe() -> tuple[int, int]:
    return os.pipe()


def _sockets() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.fixture(params=[_pipe, _sockets, pty.openpty])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Return the two ends of a pipe, a pair of sockets, and a terminal: the reader's and the writer's."""
    make: Callable[[], tuple[int, int]] = request.param
    pair = make()
    yield pair
    for end in pair:
        os.close(end)


def _fill(write: Write) -> None:
    with suppress(BlockingIOError):
        for _ in range(10_000):
            write(b"x" * 1000)
        pytest.fail("it is never full")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the service never closes its socket
def test_no_write_waits_for_the_reader(ends: tuple[int, int]) -> None:
    """A full pipe, socket or terminal refuses a write, and other holders of the same open file keep its mode."""
    other = os.dup(ends[1])
    _fill(unwaiting(ends[1]))
    assert os.get_blocking(other)
    os.close(other)


def test_a_pipe_of_another_user_does_not_wait_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that this user may not open again (`su -c ... | logger`) becomes non-blocking."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    reading, writing = os.pipe()
    monkeypatch.setattr(os, "open", refuse)
    _fill(unwaiting(writing))
    os.close(reading)
    os.close(writing)


def test_a_closed_standard_output_is_never_a_socket_of_ours() -> None:
    """A service that starts without standard output counts its lines as lost."""
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    write = unwaiting(writing)
    with pytest.raises(OSError, match="No space left"):
        write(b"line\n")
    os.close(writing)


def test_the_report_is_a_documented_line(capfd: pytest.CaptureFixture[str]) -> None:
    """The line that stands for lost ones is an event of docs/logging.md."""
    log.configure("json", "info")
    log.OUTPUT.line(log.lost_lines(3))
    line = json.loads(capfd.readouterr().out)
    assert (line["event"], line["lines"], log_events.deviations(line)) == ("log_lines_lost", 3, [])
