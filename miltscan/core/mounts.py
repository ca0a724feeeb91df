"""Where a path lies, by a process's table of mounts (/proc/PID/mountinfo, proc(5)): parsed purely; reads no file.

Two processes see the same folder at a path if the path leads both of them to the same place of the same file system.
"""

import re
from typing import NamedTuple

_OCTAL = re.compile(r"\\([0-7]{3})")


class MountedPath(NamedTuple):
    """Where a path lies: the device's numbers, the path inside that file system, and whether writing fails there.

    `kind` is the type of the file system, such as `tmpfs`.
    """

    device: str
    inside: str
    read_only: bool
    kind: str = ""


def mounted_path(mountinfo: str, path: str) -> MountedPath | None:
    """Where `path` (absolute, without links) lies by this table; None if the table does not say.

    Of several mounts on one folder the last one counts, as it hides the others.
    """
    found = None
    longest = -1
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if len(fields) < 10 or "-" not in fields[6:]:  # noqa: PLR2004 - proc(5)
            continue
        root, point = _plain(fields[3]), _plain(fields[4])
        rest = _below(path, point)
        if rest is None or len(point) < longest:
            continue
        longest = len(point)
        # of this mount, and of the file system as a whole, which the kernel makes read-only after errors of the disk
        options = (*fields[5].split(","), *fields[-1].split(","))
        found = MountedPath(fields[2], f"{root.rstrip('/')}{rest}" or "/", "ro" in options, fields[-3])
    return found


def _below(path: str, point: str) -> str | None:
    """What follows the mount point in `path`; None if the path does not lead through it."""
    if point in {path, "/"}:
        return "" if path == point else path
    return path.removeprefix(point) if path.startswith(f"{point}/") else None


def _plain(field: str) -> str:
    """A field with its blanks and other characters that mountinfo writes as octal numbers."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), field)
