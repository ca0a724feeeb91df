"""Files and programs of the host: reads, writes and runs for the other modules. Tests give it another root folder."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TIMEOUT = 600.0  # seconds: systemctl stop waits for open transactions, up to TimeoutStopSec=330s


class Ran(NamedTuple):
    """The exit status of a program, and what it printed on both streams."""

    status: int
    output: str


Runner = Callable[[Sequence[str]], Ran]


def run_program(argv: Sequence[str]) -> Ran:
    """Run a program to its end; a missing one has the status of a shell, 127."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed commands without a shell
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT,
            env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
        )
    except FileNotFoundError:
        return Ran(127, f"{argv[0]}: not found")
    except subprocess.TimeoutExpired:
        return Ran(124, f"not finished after {_TIMEOUT:.0f} s")
    return Ran(done.returncode, done.stdout.decode(errors="replace").strip())


def digest(content: bytes) -> str:
    """The name of a content."""
    return hashlib.sha256(content).hexdigest()


class Look(NamedTuple):
    """A file as it is: content, permissions, owner, group and time of the last change (nanoseconds)."""

    content: bytes
    mode: int
    uid: int
    gid: int
    mtime_ns: int


class Disk:
    """The files below a root folder, by their absolute paths."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def place(self, path: str) -> Path:
        """Where the file is for this process; a link is followed, so that it stays a link."""
        return (self._root / path.lstrip("/")).resolve()

    def look(self, path: str) -> Look | None:
        """The file; None if it does not exist."""
        try:
            with self.place(path).open("rb") as file:
                status = os.fstat(file.fileno())
                return Look(file.read(), status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_mtime_ns)
        except FileNotFoundError:
            return None

    def read(self, path: str) -> bytes | None:
        """The content of the file; None if it does not exist."""
        found = self.look(path)
        return found and found.content

    def exists(self, path: str) -> bool:
        """Whether there is anything at this path."""
        return (self._root / path.lstrip("/")).exists()

    def write(self, path: str, content: bytes, mode: int = 0o644, like: Look | None = None) -> list[str]:
        """Write the file, whole or not at all; returns the folders made for it.

        `like` has owner, permissions and time for it. The file is on disk when this returns.
        """
        target, made = self.place(path), self._folders(path)
        new = target.with_name(f".{target.name}.new")
        with suppress(FileNotFoundError):  # left by a run that was killed
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if like:
                os.fchown(descriptor, like.uid, like.gid)
            os.fchmod(descriptor, like.mode if like else mode)
            if like:
                os.utime(descriptor, ns=(like.mtime_ns, like.mtime_ns))
            os.fsync(descriptor)
        new.rename(target)
        _sync(target.parent)
        return made

    def remove(self, path: str, folders: Sequence[str] = ()) -> None:
        """Remove the file, and those of the folders that are then empty."""
        self.place(path).unlink(missing_ok=True)
        self.remove_folders(folders)

    def remove_folders(self, folders: Sequence[str]) -> None:
        """Remove those of the folders that are empty."""
        for folder in folders:
            with suppress(OSError):  # something else is in it
                self.place(folder).rmdir()

    def missing_folders(self, path: str) -> list[str]:
        """The folders above a path that do not exist, the lowest first."""
        above = [str(one) for one in Path(path).parents]
        return [one for one in above if not self.exists(one)]

    def remove_tree(self, path: str) -> None:
        """Remove a folder with all that is in it."""
        shutil.rmtree(self.place(path), ignore_errors=True)

    def _folders(self, path: str) -> list[str]:
        made = self.missing_folders(path)
        for folder in reversed(made):
            self.place(folder).mkdir(mode=0o755)
        return made


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
