"""What the host was before `setup`: a file that is on disk before each step changes anything.

The folder belongs to root, unlike /var/lib/miltscan: who can write to it decides what an undo writes to /etc. The first
state of a file or unit counts, however often setup runs. `after` has every content that setup gave a file, so that an
undo recognizes what a person has changed later.
"""

import json
from dataclasses import asdict, dataclass, field

from miltscan.errors import SetupError
from miltscan.setup.disk import Disk, Look, digest

FOLDER = "/var/lib/miltscan-setup"
_FILE = f"{FOLDER}/record.json"
_VERSION = 1


@dataclass(slots=True)
class FileBefore:
    """A file before setup; `backup` is the digest of its content, empty if it did not exist."""

    backup: str = ""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    folders: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    line: str = ""


@dataclass(slots=True)
class UnitBefore:
    """A unit before setup, in the words of systemctl is-enabled, and whether it was active."""

    enabled: str
    active: bool


@dataclass(slots=True)
class Record:
    """All files and units that setup has changed, in this order, and folders that it has made."""

    files: dict[str, FileBefore] = field(default_factory=dict)
    units: dict[str, UnitBefore] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether setup has changed nothing."""
        return not self.files and not self.units


def load_record(disk: Disk) -> Record:
    """The record of this host; an empty one if setup has not run. Raises SetupError."""
    content = disk.read(_FILE)
    if content is None:
        return Record()
    try:
        data = json.loads(content)
        if data["version"] != _VERSION:
            raise SetupError(f"{_FILE}: version {data['version']}: expected {_VERSION}. Use the miltscan that wrote it")
        files = {path: FileBefore(**before) for path, before in data["files"].items()}
        units = {name: UnitBefore(**before) for name, before in data["units"].items()}
        return Record(files, units, [*data["folders"]])
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise SetupError(f"{_FILE}: is not a record of setup ({problem}). Restore it from a backup") from None


def save_record(disk: Disk, record: Record) -> None:
    """Write the record; it is on disk when this returns."""
    _write(disk, _FILE, json.dumps({"version": _VERSION, **asdict(record)}, indent=2).encode() + b"\n")


def remember_file(disk: Disk, record: Record, path: str, after: bytes | None = None, line: str = "") -> None:
    """Record a file as it is, unless its first state is recorded; then save. `after` is what it is about to contain."""
    if path not in record.files:
        found = disk.look(path)
        before = FileBefore(folders=disk.missing_folders(path), line=line)
        if found:
            before.backup = digest(found.content)
            before.mode, before.uid, before.gid, before.mtime_ns = found[1:]
            _write(disk, f"{FOLDER}/{before.backup}", found.content)
        record.files[path] = before
    if after is not None and digest(after) not in record.files[path].after:
        record.files[path].after.append(digest(after))
    save_record(disk, record)


def former(disk: Disk, before: FileBefore) -> Look:
    """The recorded file. Raises SetupError if its copy is missing."""
    content = disk.read(f"{FOLDER}/{before.backup}")
    if content is None or digest(content) != before.backup:
        raise SetupError(f"{FOLDER}/{before.backup}: the copy of the former file is missing or damaged")
    return Look(content, before.mode, before.uid, before.gid, before.mtime_ns)


def forget(disk: Disk, record: Record) -> None:
    """Remove the record, after everything is undone, and the folders that setup has made if they are empty."""
    disk.remove_folders(record.folders)
    disk.remove_tree(FOLDER)


def _write(disk: Disk, path: str, content: bytes) -> None:
    if not disk.exists(FOLDER):
        disk.place(FOLDER).mkdir(mode=0o700, parents=True)
    disk.write(path, content, 0o600)
