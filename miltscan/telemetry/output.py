"""Writes whole lines to standard output and never waits for its reader. It renders no line.

What finds no room in the pipe or socket waits here, in order, up to `BUFFER` bytes; the lines after that are lost. When
the reader takes lines again, one line reports how many were lost, at the place where they are missing. A line that the
system refuses (disk full, reader gone) is lost at once. Each loss is counted, and `miltscan_log_stalled` shows it.

No thread writes: the supervisor starts none, and a switch of threads costs more than the write (docs/lab/cost.md).
A disk that hangs (NFS) is the exception: no write to a file can be made not to wait. It holds the thread that writes at
that moment, one in each process; the others lose their lines and go on.

Lines that wait are written with the next line, or by `flush`, which each process calls every few seconds.
"""

import io
import os
import select
import socket
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from miltscan.telemetry import service_metrics

BUFFER = 2**20
"""Bytes that wait in each process: more than a thousand lines."""

Write = Callable[[bytes], int]
_END = b"\n"
_PATIENCE = 0.05
"""Seconds: enough for a reader that works, and short for a process that waits so several times a second."""


class Output:
    """Standard output of this process; `report` returns the line that reports lost ones."""

    def __init__(self, report: Callable[[int], bytes], write: Write | None = None) -> None:
        self._report = report
        self._room = select.poll()
        self._room.register(1, select.POLLOUT)
        self._write = write or (lambda line: os.write(1, line))
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # the parent writes what waits in it

    def forget(self) -> None:
        """Begin without waiting lines."""
        self._lock = Lock()
        self._waiting: list[bytes] = []
        self._size = 0
        self._lost = 0  # lines since the last report
        self._reported = 0  # lines that the report counts which waits itself
        self._half = False  # whether the first line that waits is the rest of one
        self._stalled = False
        self._hangs = False

    def open(self) -> None:
        """Let no write to standard output or standard error wait from now on, in this process and its later forks."""
        self._write = unwaiting(1)
        sys.stderr = _Unwaiting(unwaiting(2))

    def line(self, line: bytes) -> None:
        """Write one line, or keep it while the reader is slow. Never raises and never waits."""
        if not self._lock.acquire(timeout=0 if self._hangs else _PATIENCE):
            self._hangs = True  # another thread waits for a disk, as only a file can make it wait
            self._lose(1)
            self._note(stalled=True)
            return
        try:
            if self._lost:
                self._flush()
            if self._lost or self._size + len(line) > BUFFER:
                self._lose(1)
                return
            self._waiting.append(line)
            self._size += len(line)
            self._flush()
        finally:
            self._hangs = False
            self._lock.release()

    def flush(self, patience: float = _PATIENCE) -> None:
        """Write what waits, and wait for a reader that takes it for so many seconds at most."""
        ends = time.monotonic() + patience
        while self._waiting or self._lost:
            if not self._lock.acquire(timeout=patience):
                return
            try:
                full = self._flush()
            finally:
                self._lock.release()
            left = ends - time.monotonic()
            if not full or left <= 0 or not self._room.poll(left * 1000):
                return

    def close(self, patience: float) -> None:
        """Before the end of the process: write what waits, as `flush` does. What the reader did not take is lost."""
        self.flush(patience)
        if self._lock.acquire(timeout=patience):
            self._give_up()
            self._lock.release()

    def _flush(self) -> bool:
        """Write what waits; True if the reader has to take some first."""
        try:
            while self._waiting:
                self._put(self._waiting[0])
            if self._lost:
                self._reported, self._lost = self._lost, 0
                self._waiting.append(self._report(self._reported))
                self._size += len(self._waiting[0])
                self._put(self._waiting[0])
            self._reported = 0
        except BlockingIOError:
            self._note(stalled=True)
            return True
        except OSError:
            self._give_up()
            self._note(stalled=True)
        else:
            self._note(stalled=False)
        return False

    def _put(self, line: bytes) -> None:
        """Write the first line that waits; raises OSError. A terminal or a full disk may take only a part of it."""
        while line:
            written = self._write(line)
            line = line[written:]
            self._size -= written
            if line:
                self._waiting[0], self._half = line, True
        del self._waiting[0]
        self._half = False

    def _give_up(self) -> None:
        """Lose what waits; of a line that was begun the end stays, so that the next line begins at its own place."""
        others = bool(self._reported) + (self._waiting[:1] == [_END])
        self._lose(len(self._waiting) - others)
        self._lost, self._reported = self._lost + self._reported, 0
        self._waiting = [_END] if self._half else []
        self._size = len(self._waiting)

    def _lose(self, number: int) -> None:
        self._lost += number
        if number:
            service_metrics.LOG_LINES_LOST.child().inc(number)

    def _note(self, *, stalled: bool) -> None:
        if stalled is not self._stalled:
            self._stalled = stalled
            service_metrics.LOG_STALLED.child().set(stalled)


class _Unwaiting(io.TextIOBase):
    """Standard error for Python's own messages, such as the traceback of a thread: what finds no room is lost."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, text: str) -> int:
        """Write the text, or lose it."""
        with suppress(OSError):
            self._write(text.encode(errors="backslashreplace"))
        return len(text)


def unwaiting(descriptor: int) -> Write:
    """Return a function that writes to this descriptor, or raises BlockingIOError where write(2) would wait.

    Other programs may hold the same open file, a shell its terminal: to make it non-blocking would break their writes.
    So a pipe or terminal is opened again, a socket is asked for each write not to wait. A pipe that cannot be opened
    again (it belongs to another user, who started the service through `su`) is made non-blocking all the same. A write
    to a file of a disk does not wait for a reader.
    """
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:  # closed: the next file would take its number, and lines would go into a socket
        os.dup2(os.open("/dev/full", os.O_WRONLY | os.O_CLOEXEC), descriptor)  # where each line is lost and counted
        mode = 0
    if stat.S_ISSOCK(mode):
        return _sender(descriptor)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            if stat.S_ISFIFO(mode):
                os.set_blocking(descriptor, False)
        else:
            os.dup2(again, descriptor)
            os.close(again)
    return lambda data: os.write(descriptor, data)


def _sender(descriptor: int) -> Write:
    channel = socket.socket(fileno=os.dup(descriptor))
    return lambda data: channel.send(data, socket.MSG_DONTWAIT)
