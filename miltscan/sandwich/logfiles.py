"""Reads logs as streams: plain, rotated and compressed files, and the journal. It does not interpret their lines.

Memory does not grow with the logs: it reads blocks of a fixed size, and splits only blocks with a line that is needed.
"""

import lzma
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from miltscan.core.text import readable
from miltscan.sandwich.logforms import journal_time
from miltscan.sandwich.logline import LINE_LIMIT
from miltscan.sandwich.rotation import rotations
from miltscan.sandwich.unpack import PackedError, unpacked

if TYPE_CHECKING:
    from io import BufferedReader

BLOCK = 1 << 20  # bytes
MAIL_LOGS = (Path("/var/log/mail.log"), Path("/var/log/maillog"))
JOURNALS = (Path("/var/log/journal"), Path("/run/log/journal"))
_NO_LOG = "no log was found that this user can read; run trace as root, or name a log with --log"
_EXPORT = b"__CURSOR="  # the first field of an entry, systemd.journal-fields(7)
_JOURNALCTL = (
    *("journalctl", "--output=export", "--no-pager", "--quiet"),
    "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_HOSTNAME",
    *("SYSLOG_FACILITY=2", "+", "SYSLOG_IDENTIFIER=miltscan", "+", "_SYSTEMD_UNIT=miltscan.service"),
)


class Logs:
    """The logs to read, in order; `matching` reads all of them once.

    `on_progress` is called with the bytes of the files that are done, from 0 in each reading. `on_error` is called once
    for each log that cannot be read.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        journal: bool,
        on_error: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._journal = journal
        self.on_progress: Callable[[int], None] = lambda _done: None
        self._on_error = on_error
        self._errors: set[str] = set()
        self._unread: set[Path] = set()
        self.passed_over: list[Path] = []
        """Files whose names begin like that of a log, but are not names of rotated logs."""
        self._files = [*dict.fromkeys(one for file in files for one in self._with_rotated(file))]
        self.size = int(sum(_stat(one, "st_size") for one in self._files))

    def __str__(self) -> str:
        """What was read; a file that could not be read to its end is an error, not a place without the message."""
        names = [readable(str(file)) for file in self._files if file not in self._unread]
        names += ["the journal"] * self._journal
        if self._unread:
            return ", ".join(names) or "any log: none could be read"
        return ", ".join(names) or f"any log: {_NO_LOG}"

    def matching(self, texts: Sequence[bytes]) -> Iterator[bytes]:
        """The lines that contain any of `texts`."""
        done = 0
        for file in self._files:
            try:
                yield from self._of_file(file, texts, done)
                done += file.stat().st_size
            except (PackedError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                self._unread.add(file)
                self._report(f"{readable(str(file))}: {_fault(error)}")
        if self._journal:
            try:
                yield from (line for line in journal() if _contains(line, texts))
            except OSError as error:
                self._report(f"journalctl: cannot be started: {error.strerror}")

    def _of_file(self, file: Path, texts: Sequence[bytes], before: int) -> Iterator[bytes]:
        """The matching lines of one file; `before` are the bytes of the files that are done."""
        with file.open("rb") as raw, unpacked(raw) as stream:
            for lines in _blocks(stream):
                if _contains(lines, texts):
                    yield from (line for line in lines.split(b"\n") if _contains(line, texts))
                self.on_progress(before + raw.tell())

    def _with_rotated(self, file: Path) -> list[Path]:
        try:
            names = [one.name for one in file.parent.iterdir()]
        except FileNotFoundError:  # opening the file reports that
            return [file]
        except OSError as error:
            self._report(f"{readable(str(file.parent))}: rotated files cannot be found: {error.strerror}")
            return [file]
        older = rotations(file.name, names, lambda name: _stat(file.with_name(name), "st_mtime"))
        begin = [name for name in names if name.startswith(file.name) and name not in {file.name, *older}]
        self.passed_over += (file.with_name(name) for name in sorted(begin))
        return [*(file.with_name(name) for name in older), file]

    def _report(self, text: str) -> None:
        if text not in self._errors:
            self._errors.add(text)
            self._on_error(text)


def journal(since: float = 0) -> Iterator[bytes]:
    """The journal's lines of mail and of miltscan, from a time on (seconds since the epoch). Raises OSError."""
    command = [*_JOURNALCTL, f"--since=@{int(since)}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:  # noqa: S603 - a fixed command without a shell
        try:
            yield from exported(cast("IO[bytes]", reader.stdout))
        finally:
            reader.kill()


def usual_files() -> list[Path]:
    """The mail logs that exist on this host."""
    return [file for file in MAIL_LOGS if file.exists()]


def has_journal() -> bool:
    """Whether this host has a journal of the system that this user may read, and the program that reads it."""
    files = (file for folder in JOURNALS for file in folder.glob("*/system*.journal"))
    return shutil.which(_JOURNALCTL[0]) is not None and any(os.access(file, os.R_OK) for file in files)


def _fault(error: Exception) -> str:
    """Why a file cannot be read, and what to do."""
    if isinstance(error, PackedError):
        return str(error)
    remedy = "; run trace as root" if isinstance(error, PermissionError) else ""
    return f"cannot be read: {getattr(error, 'strerror', None) or error}{remedy}"


def _stat(file: Path, name: str) -> float:
    """One value of stat(2); 0 for a file that is missing (any more) or hidden from this user."""
    try:
        return float(getattr(file.stat(), name))
    except OSError:
        return 0


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole lines, a block at a time; the part of a line beyond LINE_LIMIT may be left out."""
    if cast("BufferedReader", stream).peek(len(_EXPORT)).startswith(_EXPORT):
        yield from (line + b"\n" for line in exported(stream))
        return
    block, whole = stream.read(BLOCK), True
    while block:
        block += stream.readline(LINE_LIMIT)
        begin = 0 if whole else block.find(b"\n") + 1 or len(block)
        yield block[begin:]
        whole = block.endswith(b"\n")
        block = stream.read(BLOCK)


def _contains(line: bytes, texts: Sequence[bytes]) -> bool:
    return any(text in line for text in texts)


def exported(stream: IO[bytes]) -> Iterator[bytes]:
    """The entries of `journalctl -o export` as syslog lines, one for each entry.

    A value with control characters or a line feed is in binary form: 64 bits of length in little endian, the value, a
    line feed. Its line feeds become spaces, so that no entry makes two lines.
    """
    entry: dict[bytes, bytes] = {}
    while line := stream.readline(LINE_LIMIT):
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if name and not equals:
            left = int.from_bytes(stream.read(8), "little")
            value = stream.read(min(left, LINE_LIMIT))
            left -= len(value)
            while left > 0 and (skipped := stream.read(min(left, BLOCK))):
                left -= len(skipped)
            stream.readline(LINE_LIMIT)
        if name:
            entry[name] = value
        elif entry:
            yield _syslog_line(entry)
            entry = {}
    if entry:
        yield _syslog_line(entry)


def _syslog_line(entry: dict[bytes, bytes]) -> bytes:
    time = journal_time(entry.get(b"__REALTIME_TIMESTAMP", b"")).encode()
    head = b" ".join([time, entry.get(b"_HOSTNAME") or b"-", entry.get(b"SYSLOG_IDENTIFIER") or b"-"])
    pid = entry.get(b"SYSLOG_PID") or entry.get(b"_PID")
    return head + (b"[%b]: " % pid if pid else b": ") + entry.get(b"MESSAGE", b"").replace(b"\n", b" ")
