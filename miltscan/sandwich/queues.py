"""How much waits in a sendmail's queue: names, sizes and times of its files; what stands in them is never read.

A message is a control file `qf...` and a data file `df...` of the same ID, in the queue's folder, in sub-folders `qf`
and `df`, or in the folders of queue groups (`q1`, `q2` ... or any name), which may be links and have such sub-folders
as well (sendmail's doc/op, "Queue Groups and Queue Directories"). What is held (`hf`) or lost (`Qf`) does not wait.
The control file is written anew at each attempt, the data file never: its time is when the message came.
"""

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple

MOST_FILES = 200_000
"""Directory entries that one look reads at most: some 100,000 messages, a second or two."""
_OTHERS = {"xf", "lost+found"}  # transcripts; and what a file system of its own has, for root alone
_DEPTH = 2  # folders below the queue's: a group, and its qf and df


class File(NamedTuple):
    """A file of a queue: its name, size in bytes, and last change (seconds since the epoch)."""

    name: str
    size: int
    changed: float


class Depth(NamedTuple):
    """What waits: messages, the bytes of their files, and when the oldest came (None in an empty queue)."""

    entries: int
    size: int
    oldest: float | None


def depth(files: Iterable[File]) -> Depth:
    """The depth of the queue that these files make up, in any order."""
    size = 0
    control: dict[str, float] = {}
    data: dict[str, float] = {}
    for name, one_size, changed in files:
        kind, ident = name[:2], name[2:]
        if kind in {"qf", "df"} and ident:
            size += one_size
            (control if kind == "qf" else data)[ident] = changed
    came = [min(data.get(ident, changed), changed) for ident, changed in control.items()]
    return Depth(len(control), size, min(came, default=None))


def look(queue: str) -> Depth:
    """The depth of the queue at this path, whose last part may be a pattern such as `q*`. Raises OSError."""
    return depth(islice(_files(*_place(queue), _DEPTH, ("qf", "df")), MOST_FILES))


def lost(queue: str) -> list[str]:
    """The control files of this queue that sendmail itself gave up: it could not read them, and tries them no more.

    Raises OSError.
    """
    return sorted(file.name for file in islice(_files(*_place(queue), _DEPTH, ("Qf",)), MOST_FILES))


def _place(queue: str) -> tuple[str, str]:
    """The folder, and the pattern of what is looked into below it."""
    folder, _, pattern = queue.rpartition("/") if queue.endswith("*") else (queue, "", "*")
    return folder or "/", pattern


def _files(folder: str, pattern: str, below: int, kinds: tuple[str, ...]) -> Iterator[File]:
    """The files in `folder` and so many levels below; what goes while we look, or is of no queue, is passed over."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(kinds) and len(entry.name) > len("qf"):
                if file := _file(entry):
                    yield file
            elif below and entry.name not in _OTHERS and fnmatchcase(entry.name, pattern) and entry.is_dir():
                yield from _files(entry.path, "*", below - 1, kinds)


def _file(entry: "os.DirEntry[str]") -> File | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # delivered meanwhile
        return None
    return File(entry.name, status.st_size, status.st_mtime)
