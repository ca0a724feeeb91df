"""One program in the sandbox: starts it, returns what it writes in pieces, and ends it at every bound."""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

from miltscan.core.text import readable

ARCHIVE = "/proc/self/fd/3"
"""The name of the file for the program; `sandbox.py` gives it this number."""
_STATUSES = frozenset({0, 1, 2, 8})  # of 7-Zip: well, a warning, an error, too little memory
_SHOWN = 200  # characters of its messages in the log
_FAILED = 120  # exit status of `sandbox.py` if it could not build the sandbox
_SANDBOX = (sys.executable, "-I", "-S", str(Path(__file__).with_name("sandbox.py")))
_PIECE = 1 << 18  # bytes of one piece
_MESSAGES = 1 << 16  # bytes of its messages that are kept
_END = 1.0  # seconds in which a program ends that has closed its output
_TICK = 0.5  # seconds between two signs of life to the MTA


class Allowance(NamedTuple):
    """What one program may use: seconds of CPU time, bytes of memory, and the moment (time.monotonic) of its end.

    `tick` is called at least twice a second, and may raise.
    """

    seconds: int
    memory: int
    deadline: float
    tick: Callable[[], None]


class Sandboxed:
    """A program that reads one file, as a context: at its end the program is dead and reaped. Raises OSError.

    What became of it is known when `pieces` has ended.
    """

    def __init__(
        self, command: Sequence[str], file: int, given: bytes, allowance: Allowance, locale: str = "C.UTF-8"
    ) -> None:
        """`file` is a descriptor of the file, `given` its standard input, at most a line."""
        self._allowance = allowance
        self._messages = bytearray()
        self.late = False  # whether its time was over
        reader = os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command; nothing of the message is in it
                [*_SANDBOX, str(reader), str(allowance.seconds), str(allowance.memory), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(reader,),
                env={"LC_ALL": locale},
            )
        finally:
            os.close(reader)
        stdin = _pipe(self._process.stdin)
        with suppress(BrokenPipeError), stdin:
            stdin.write(given)  # fits into the pipe, so nothing waits for the program to read

    def __enter__(self) -> Self:
        """The program runs."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it if it still runs."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            _pipe(pipe).close()

    def pieces(self) -> Iterator[bytes]:
        """What it writes, until it ends or its time is over. Raises what `tick` does."""
        output, errors = _pipe(self._process.stdout), _pipe(self._process.stderr)
        ticked = time.monotonic()
        with selectors.DefaultSelector() as ready:
            ready.register(output, selectors.EVENT_READ)
            ready.register(errors, selectors.EVENT_READ)
            while ready.get_map():
                now = time.monotonic()
                if now - ticked >= _TICK:
                    ticked = now
                    self._allowance.tick()
                if now >= self._allowance.deadline:
                    self.late = True
                    return
                for key, _ in ready.select(min(_TICK, self._allowance.deadline - now)):
                    piece = os.read(key.fd, _PIECE)
                    if not piece:
                        ready.unregister(key.fileobj)
                    elif key.fileobj is output:
                        yield piece
                    elif len(self._messages) < _MESSAGES:
                        self._messages += piece
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self.late = True

    @property
    def messages(self) -> str:
        """What it wrote to standard error, up to a bound."""
        return self._messages.decode("utf-8", "replace")

    @property
    def is_cut(self) -> bool:
        """Whether it wrote more messages than are kept."""
        return len(self._messages) >= _MESSAGES

    @property
    def status(self) -> int:
        """Its exit status; meaningless if it was `broken_off`."""
        return self._process.returncode or 0

    @property
    def broken_off(self) -> str:
        """Why it did not come to its own end, in a few words for the log; empty if it did."""
        status = self._process.poll()
        if self.late or status is None:
            return "it took too long"
        if status < 0:
            return f"7-Zip was ended by signal {-status}"
        return ""

    @property
    def host_fault(self) -> str:
        """Why it could not run on this host; empty if it could."""
        if self.status == _FAILED:
            return self.messages.strip()
        known = self.status in _STATUSES
        return "" if known else f"7-Zip ended with the status {self.status}: {readable(self.messages, _SHOWN)}"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """A pipe that was asked for."""
    assert stream is not None  # noqa: S101 - subprocess.PIPE
    return stream


def sandbox_layers() -> frozenset[str]:
    """The layers of the sandbox that this host has: `landlock`, `seccomp`. Raises OSError."""
    done = subprocess.run(_SANDBOX, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, check=False)  # noqa: S603 - a fixed command
    return frozenset(done.stdout.decode("ascii", "replace").split())
