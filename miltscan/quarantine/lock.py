"""The lock by which exactly one keeper works on a quarantine folder, also of services that share it over hosts.

It is a flock: it ends with the process that holds it, however that ends.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from miltscan.errors import StoreError
from miltscan.quarantine.writing import FILE_MODE

NAME = "keeper.lock"


class KeeperLock:
    """The lock of the folder `directory`; it is taken by `take`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._descriptor = -1

    def take(self) -> bool:
        """Take the lock if no other process has it; whether it is ours now. Raises StoreError.

        It is not ours any more where the folder was removed or replaced: then it is taken in the new one.
        """
        try:
            if self._holds():
                return True
            self.release()
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            return False
        except OSError as error:
            self.release()
            raise StoreError(f"quarantine {self._path.parent}: {error.strerror}") from error
        return self._note_pid()

    def _note_pid(self) -> bool:
        with suppress(OSError):  # a full disk: then the other services do not see whose it is
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return True

    def owner(self) -> str:
        """The process that has the lock, as it wrote it; empty if that is unknown."""
        try:
            text = self._path.read_text(encoding="ascii", errors="replace")[:20].strip()
        except OSError:
            return ""
        return text if text.isdecimal() else ""

    def release(self) -> None:
        """Let other keepers have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _holds(self) -> bool:
        if self._descriptor < 0:
            return False
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        return False
