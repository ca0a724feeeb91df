"""Reads logs in a stream: plain, rotated and compressed files, and the journal; understands no line of them.

Memory does not grow with the logs: blocks of a fixed size, of which only the lines that are asked for are taken apart.
"""

import bz2
import gzip
import lzma
import re
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, cast

from miltscan.core.text import readable
from miltscan.sandwich.logline import LINE_LIMIT

BLOCK = 1 << 20  # bytes
MAIL_LOGS = (Path("/var/log/mail.log"), Path("/var/log/maillog"))
JOURNALS = (Path("/var/log/journal"), Path("/run/log/journal"))
_ROTATED = re.compile(r"[.-]\d+(?:\.(?:gz|bz2|xz))?|-\d{8}-\d+(?:\.(?:gz|bz2|xz))?")  # logrotate(8), also with dateext
_COMPRESSED: dict[bytes, Callable[[IO[bytes]], object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_EXPORT = b"__CURSOR="  # the first field of an entry, systemd.journal-fields(7)
_JOURNALCTL = (
    *("journalctl", "--output=export", "--no-pager", "--quiet"),
    "--output-fields=MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_HOSTNAME",
    *("SYSLOG_FACILITY=2", "+", "SYSLOG_IDENTIFIER=miltscan", "+", "_SYSTEMD_UNIT=miltscan.service"),
)


class Logs:
    """What to read, in order; `matching` is one reading of it all.

    `told` hears how many bytes of the files are done, from 0 in each reading; `complain` what cannot be read, once.
    """

    def __init__(
        self,
        files: Sequence[Path],
        *,
        journal: bool,
        complain: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._files = [one for file in files for one in rotated(file)]
        self._journal = journal
        self.told: Callable[[int], None] = lambda _done: None
        self._complain = complain
        self._complaints: set[str] = set()
        self.size = int(sum(_stat(one, "st_size") for one in self._files))

    def __str__(self) -> str:
        names = [readable(str(file)) for file in self._files] + ["the journal"] * self._journal
        return ", ".join(names) or "any log: this host has none that is known, name one by --log"

    def matching(self, texts: Sequence[bytes]) -> Iterator[bytes]:
        """The lines in which any of `texts` stands."""
        done = 0
        for file in self._files:
            try:
                yield from self._of_file(file, texts, done)
                done += file.stat().st_size
            except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                self._say(f"{readable(str(file))}: cannot be read: {getattr(error, 'strerror', None) or error}")
        if self._journal:
            yield from self._of_journal(texts)

    def _of_file(self, file: Path, texts: Sequence[bytes], before: int) -> Iterator[bytes]:
        with file.open("rb") as raw, _plain(raw) as stream:
            for lines in _blocks(stream):
                yield from _having(lines, texts)
                self.told(before + raw.tell())

    def _of_journal(self, texts: Sequence[bytes]) -> Iterator[bytes]:
        try:
            yield from (line for line in journal() if _has(line, texts))
        except OSError as error:
            self._say(f"journalctl: cannot be started: {error.strerror}")

    def _say(self, text: str) -> None:
        if text not in self._complaints:
            self._complaints.add(text)
            self._complain(text)


def journal(since: float = 0) -> Iterator[bytes]:
    """The lines of mail and of miltscan in the journal, from a time on (seconds since the epoch). Raises OSError."""
    command = [*_JOURNALCTL, f"--since=@{int(since)}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:  # noqa: S603  fixed words
        try:
            yield from exported(cast("IO[bytes]", reader.stdout))
        finally:
            reader.kill()


def usual_files() -> list[Path]:
    """The mail logs that this host has."""
    return [file for file in MAIL_LOGS if file.exists()]


def has_journal() -> bool:
    """Whether there is a journal and the program to read it."""
    return shutil.which(_JOURNALCTL[0]) is not None and any(folder.exists() for folder in JOURNALS)


def rotated(file: Path) -> list[Path]:
    """The file and what was rotated away from it, by age (mtime, which rotation and compression keep), oldest first."""
    try:
        names = list(file.parent.glob(f"{_literal(file.name)}*"))
    except OSError:  # the folder is not ours to read; opening the file says so
        names = []
    older = [one for one in names if _ROTATED.fullmatch(one.name.removeprefix(file.name))]
    return [*sorted(older, key=lambda one: (_stat(one, "st_mtime"), one.name)), file]


def _stat(file: Path, name: str) -> float:
    """0 for what is not there (any more) or not ours to see."""
    try:
        return float(getattr(file.stat(), name))
    except OSError:
        return 0


def _literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _plain(raw: IO[bytes]) -> IO[bytes]:
    """What is in a file: decompressed, if its first bytes say that it is compressed."""
    start = raw.read(len(_EXPORT))
    raw.seek(0)
    opener = next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), None)
    return cast("IO[bytes]", opener(raw)) if opener else raw


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole lines, a block at a time; of a line that is longer than LINE_LIMIT what is beyond may be left out."""
    block = stream.read(BLOCK)
    if block.startswith(_EXPORT):
        stream.seek(0)
        yield from (line + b"\n" for line in exported(stream))
        return
    whole = True
    while block:
        block += stream.readline(LINE_LIMIT)
        begin = 0 if whole else block.find(b"\n") + 1 or len(block)
        yield block[begin:]
        whole = block.endswith(b"\n")
        block = stream.read(BLOCK)


def _having(lines: bytes, texts: Sequence[bytes]) -> Iterator[bytes]:
    if _has(lines, texts):
        yield from (line for line in lines.split(b"\n") if _has(line, texts))


def _has(line: bytes, texts: Sequence[bytes]) -> bool:
    return any(text in line for text in texts)


def exported(stream: IO[bytes]) -> Iterator[bytes]:
    """The entries of `journalctl -o export` as the lines that syslog would have written, one an entry.

    A value with control characters or a line feed stands in binary form there; a line feed becomes a space, so that no
    entry makes two lines.
    """
    entry: dict[bytes, bytes] = {}
    while line := stream.readline(LINE_LIMIT):
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if name and not equals:
            value = _binary(stream)
        if name:
            entry[name] = value
        elif entry:
            yield _as_line(entry)
            entry = {}
    if entry:
        yield _as_line(entry)


def _binary(stream: IO[bytes]) -> bytes:
    """64 bits of length, little endian, the value, a line feed."""
    left = int.from_bytes(stream.read(8), "little")
    value = stream.read(min(left, LINE_LIMIT))
    left -= len(value)
    while left > 0 and (skipped := stream.read(min(left, BLOCK))):
        left -= len(skipped)
    stream.readline(LINE_LIMIT)
    return value


def _as_line(entry: dict[bytes, bytes]) -> bytes:
    micro = entry.get(b"__REALTIME_TIMESTAMP", b"")
    head = b" ".join([_iso(micro), entry.get(b"_HOSTNAME") or b"-", entry.get(b"SYSLOG_IDENTIFIER") or b"-"])
    pid = entry.get(b"SYSLOG_PID") or entry.get(b"_PID")
    return head + (b"[%b]: " % pid if pid else b": ") + entry.get(b"MESSAGE", b"").replace(b"\n", b" ")


def _iso(micro: bytes) -> bytes:
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(micro))).isoformat().encode()
    except (ValueError, OverflowError):
        return b"1970-01-01T00:00:00+00:00"
