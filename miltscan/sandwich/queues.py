"""How many messages wait in a sendmail's queue, by names, sizes and times of its files; it never reads their content.

A message is a control file `qf...` and a data file `df...` of the same ID, in the queue's folder, in subfolders `qf`
and `df`, or in the folders of queue groups (`q1`, `q2` ... or any name), which may be links and may have such
subfolders (sendmail's doc/op, "Queue Groups and Queue Directories"). Messages that are held (`hf`) or lost (`Qf`) do
not wait. sendmail writes the control file again at each attempt and the data file once, so that its time is when the
message arrived.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from miltscan.sandwich.logforms import QUEUE_ID

MOST_FILES = 200_000
"""Directory entries that one call reads at most: some 100,000 messages, in a second or two."""
_OTHERS = {"xf", "lost+found"}  # transcripts; and a folder of the file system that only root can read
_DEPTH = 2  # levels of folders below the queue's: a queue group, and its qf and df


class File(NamedTuple):
    """A file of a queue: name, size in bytes, and time of the last change (seconds since the epoch)."""

    name: str
    size: int
    changed: float


class Depth(NamedTuple):
    """Waiting messages, the bytes of their files, and when the oldest arrived (None for an empty queue)."""

    entries: int
    size: int
    oldest: float | None


def depth_of(files: Iterable[File]) -> Depth:
    """The depth of a queue with these files, in any order."""
    size = 0
    control: dict[str, float] = {}
    data: dict[str, float] = {}
    for name, one_size, changed in files:
        kind, ident = name[:2], name[2:]
        if kind in {"qf", "df"} and ident:
            size += one_size
            (control if kind == "qf" else data)[ident] = changed
    arrived = [min(data.get(ident, changed), changed) for ident, changed in control.items()]
    return Depth(len(control), size, min(arrived, default=None))


def read_depth(queue: str) -> Depth:
    """The depth of the queue at this path, whose last part may be a pattern such as `q*`. Raises OSError."""
    return depth_of(_files(queue, ("qf", "df")))


def lost_files(queue: str) -> list[str]:
    """The names of the control files that sendmail could not read and does not retry. Raises OSError."""
    return sorted(file.name for file in _files(queue, ("Qf",)))


def control_files(queue: str, kind: str) -> list[Path]:
    """The control files of a kind (`qf`, `hf` if they are held, `Qf` if they are lost). Raises OSError."""
    files = (Path(entry.path) for entry in _entries(queue, (kind,)))
    return [file for file in files if QUEUE_ID.fullmatch(file.name.removeprefix(kind))]


def base_of(queue: str) -> str:
    """The folder of all files of this queue, whose last part may be a pattern."""
    return queue.rpartition("/")[0] or "/" if queue.endswith("*") else queue


def _files(queue: str, kinds: tuple[str, ...]) -> Iterator[File]:
    for entry in _entries(queue, kinds):
        with suppress(FileNotFoundError):  # delivered meanwhile
            status = entry.stat(follow_symlinks=False)
            yield File(entry.name, status.st_size, status.st_mtime)


def _entries(queue: str, kinds: tuple[str, ...]) -> Iterator[os.DirEntry[str]]:
    """The first MOST_FILES files of these kinds in the queue."""
    pattern = queue.rpartition("/")[2] if queue.endswith("*") else "*"
    return islice(_entries_below(base_of(queue), pattern, _DEPTH, kinds), MOST_FILES)


def _entries_below(folder: str, pattern: str, levels: int, kinds: tuple[str, ...]) -> Iterator[os.DirEntry[str]]:
    """The files in `folder` and `levels` further levels; `pattern` selects the folders of the next level."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(kinds) and len(entry.name) > len("qf"):
                yield entry
            elif levels and entry.name not in _OTHERS and fnmatchcase(entry.name, pattern) and entry.is_dir():
                yield from _entries_below(entry.path, "*", levels - 1, kinds)
