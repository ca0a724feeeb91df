"""Standard output and standard error: an unprintable character becomes an escape, and a failure is one line.

Nothing else writes there, except the log of the service. The streams clean what they are given, so that no path, log
line or error text can control a terminal, whether our code prints it or typer's (usage errors, help). Only `say` adds
codes, for colours, and `say_bytes` writes bytes, but not to a terminal. If standard output cannot be written (full
disk, closed pipe), the program ends with one line and status 1. A failure of standard error changes nothing, because
nothing could report it.
"""

import gc
import os
import select
import sys
from collections.abc import Callable
from io import BufferedWriter, FileIO, TextIOWrapper
from json import dumps
from shutil import copyfileobj
from typing import BinaryIO, NoReturn, TextIO, cast

from miltscan.core.text import printable_lines
from miltscan.errors import MiltscanError, OutputError

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_FAILED = 1
_RESET = "\x1b[0m"
_CLEAR = "\x1b[H\x1b[2J"
STYLES = {"bold": "\x1b[1m", "warning": "\x1b[33m", "error": "\x1b[31m"}
"""The codes of a heading, and of a finding by its level."""


class _Descriptor(FileIO):
    """A descriptor that raises `OutputError`, which neither typer nor a caller mistakes for an OSError of their own.

    After a failure it discards the rest; otherwise the flush at the end of the process would fail again.
    """

    failed = False

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override]
        """Write what the kernel takes; returns the number of bytes."""
        try:
            while not self.failed:
                if (taken := super().write(data)) is not None:
                    return taken
                select.select([], [self], [])  # another program may have made it non-blocking
        except OSError as error:
            self.failed = True
            if self.fileno() == _STDOUT:
                raise OutputError(f"standard output: cannot be written: {error.strerror}") from None
        return len(data)


class CleanStream(TextIOWrapper):
    """A text stream to one of the two descriptors that cleans all it is given."""

    def __init__(self, descriptor: int) -> None:
        raw = cast("BinaryIO", BufferedWriter(_Descriptor(descriptor, "wb", closefd=False)))
        encoding = getattr(sys.stdout or sys.stderr, "encoding", None)
        super().__init__(raw, encoding, "backslashreplace", line_buffering=True)

    def write(self, text: str) -> int:
        """Write the text with an escape for each character that is not printable."""
        return super().write(printable_lines(text))

    def write_codes(self, text: str) -> int:
        """Write the text as it is, with codes for a terminal."""
        return super().write(text)


def run_on_clean_streams(program: Callable[[], None]) -> NoReturn:
    """Run `program` and end the process; an error of the program's surroundings is one line on standard error."""
    _occupy()
    sys.stdin = sys.stdin or open(_STDIN, closefd=False, encoding="utf-8")  # noqa: SIM115 - as long as the process
    sys.stdin.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stdout, sys.stderr = CleanStream(_STDOUT), CleanStream(_STDERR)
    try:
        program()
    except MiltscanError as error:
        _end(str(error), error.exit_status)
    except OSError as error:  # a bug has a traceback, a file or a socket has a name
        name = "" if error.filename is None else f"{error.filename}: "
        _end(f"miltscan: {name}{error.strerror or error}", _FAILED)
    finally:
        gc.freeze()  # the interpreter would look for cycles in all modules at its end, a quarter of a short command
    sys.exit(0)


def _end(text: str, status: int) -> NoReturn:
    sys.stderr.write(f"{text}\n")
    sys.exit(status)


def _occupy() -> None:
    """Open closed standard descriptors: otherwise the next file or socket takes their place and receives our output.

    What writes to standard output then fails as with any closed descriptor (EBADF); standard error is dropped.
    """
    for descriptor in (_STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if descriptor == _STDERR else os.O_RDONLY)  # takes the lowest free number


def say(text: str, style: str = "") -> None:
    """Print lines on standard output; on a terminal in a style of `STYLES`, if it has one."""
    stream, codes = sys.stdout, STYLES.get(style)
    if codes and stream.isatty() and isinstance(stream, CleanStream) and not os.environ.get("NO_COLOR"):
        stream.write_codes(codes)
        stream.write(text)
        stream.write_codes(f"{_RESET}\n")
    else:
        stream.write(f"{text}\n")
    stream.flush()


def clear_screen() -> None:
    """Clear a terminal before the next lines; elsewhere do nothing."""
    if isinstance(sys.stdout, CleanStream) and sys.stdout.isatty():
        sys.stdout.write_codes(_CLEAR)


def say_json(value: object, indent: int | None = None) -> None:
    """Print a value as JSON of ASCII without control characters."""
    say(dumps(value, indent=indent).replace("\x7f", "\\u007f"))


def say_bytes(stream: BinaryIO) -> None:
    """Print a file: its bytes unchanged, or its lines as text on a terminal, which they must not control."""
    if not sys.stdout.isatty():
        sys.stdout.flush()
        copyfileobj(stream, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    for line in stream:
        say(line.rstrip(b"\r\n").decode("utf-8", "backslashreplace"))


def complain(text: str) -> None:
    """Print lines on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def terminal_codes() -> TextIO:
    """Return standard error for a progress bar, which draws with codes."""
    return open(_STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
