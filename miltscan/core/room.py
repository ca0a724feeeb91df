"""Decides whether an engine had room to unpack a message in its temporary folder; it reads no folder.

clamd answers OK for what it could not unpack (tests/e2e/test_room.py), so its OK counts only together with this.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple

_MIB = 2**20
LEAST_ROOM = 16 * _MIB
"""Bytes that must be free for any message."""
_GROWTH = 200
"""How many times its size a message may need: archives of ordinary mail need less, a bomb ends at MaxScanSize."""
_LEAST_INODES = 256  # clamd writes a file for each part that it unpacks, and removes it afterwards
_STATUS = re.compile(r"^(Uid|Gid|Groups):[ \t]*([0-9\t ]*)$", re.MULTILINE)


class Folder(NamedTuple):
    """A folder at one moment: which one it is, who may write to it, and what is free, in bytes and inodes.

    `inodes` is None where the file system has no fixed number of them (btrfs).
    """

    device: int
    inode: int
    owner: int
    group: int
    mode: int
    free: int
    inodes: int | None


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes to the folder: the effective user and all groups of a process."""

    user: int
    groups: frozenset[int]

    def may_write(self, folder: Folder) -> bool:
        """Whether mode and owner let it create files there; root may anywhere."""
        shift = 6 if folder.owner == self.user else 3 if folder.group in self.groups else 0
        return self.user == 0 or (folder.mode >> shift) & 0o3 == 0o3  # noqa: PLR2004 - write and search


def parse_writer(status: str) -> Writer | None:
    """The writer by /proc/PID/status (proc(5)); None for any other text."""
    fields = {name: [int(number) for number in numbers.split()] for name, numbers in _STATUS.findall(status)}
    uids, gids = fields.get("Uid", []), fields.get("Gid", [])
    if len(uids) != 4 or len(gids) != 4:  # noqa: PLR2004 - real, effective, saved, file system
        return None
    return Writer(uids[3], frozenset((gids[3], *fields.get("Groups", []))))


def room_needed(size: int, scan_size: int) -> int:
    """Bytes that must be free to scan a message of `size` bytes; `scan_size` is clamd's MaxScanSize, 0 for no limit."""
    most = size * _GROWTH
    return max(LEAST_ROOM, min(most, scan_size) if scan_size else most)


def no_room(folder: Folder, writer: Writer | None, needed: int) -> str:
    """Why there is no room for `needed` bytes, or empty. Without a `writer` the mode does not count."""
    if folder.free < needed:
        return f"{folder.free // _MIB} MiB are free, {-(-needed // _MIB)} MiB are needed"
    if folder.inodes is not None and folder.inodes < _LEAST_INODES:
        return f"{folder.inodes} inodes are free, {_LEAST_INODES} are needed"
    if writer and not writer.may_write(folder):
        return f"mode {folder.mode & 0o7777:04o} does not let its user {writer.user} write"
    return ""
