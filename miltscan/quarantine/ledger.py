"""What was done of a message for each recipient, so that a retry of its client does not do it again: five days on disk.

    DIRECTORY/copies/DIGEST     a line for each step: WORD RECIPIENT DETAIL

DIGEST is SHA-256 of message and sender, RECIPIENT that of an address. `begun` is on disk before the first byte of a
copy is sent; without a result after it the copy may have arrived or not. Lines are only ever appended. A session locks
the file (flock) while it works on the message, so two sessions never send the same copy.
"""

import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from miltscan.errors import HandoverError, StoreError
from miltscan.quarantine.writing import FILE_MODE, append, sync

AGE = 5 * 86400.0
"""Seconds for which a step is remembered: a client tries for as long (RFC 5321 section 4.5.4.1)."""
_FOLDER_MODE = 0o700
_BEGUN, _SENT, _NOT_SENT, _KEPT = "begun", "sent", "failed", "kept"
_NOTHING = "-"  # a detail that is empty


class CopyLedger:
    """The folder of these files, below that of the quarantine; the first message makes it."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "copies"

    @contextmanager
    def page(self, digest: bytes, sender: bytes) -> Iterator["LedgerPage"]:
        """The page of a message. Raises StoreError, and HandoverError where another session has it."""
        path = self.folder / hashlib.sha256(digest + sender).hexdigest()
        with _failing(self.folder):
            descriptor = self._open(path)
        try:
            yield LedgerPage(path, descriptor)
        finally:
            os.close(descriptor)

    def _open(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        while True:
            if not self.folder.is_dir():
                self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
                sync(self.folder.parent)
            descriptor = os.open(path, flags, FILE_MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:  # it may have been removed before the lock was ours
                    sync(self.folder)
                    return descriptor
            except BlockingIOError:
                os.close(descriptor)
                raise HandoverError("copies: another session works on the same message") from None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def prune(self, now: float) -> int:
        """Remove what is older than AGE at `now` (epoch, seconds); return the number. Raises StoreError."""
        removed = 0
        with _failing(self.folder), suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                with suppress(FileNotFoundError, BlockingIOError):
                    if path.stat().st_mtime < now - AGE:
                        removed += _remove(path)
        return removed


class LedgerPage:
    """The steps of one message. Each method that notes something returns when it is on disk, and raises StoreError."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor
        self._doubts: Counter[str] = Counter()
        self._details: dict[tuple[str, str], str] = {}
        with _failing(path):
            for line in os.pread(descriptor, os.fstat(descriptor).st_size, 0).split(b"\n"):
                self._read(line.decode("ascii", "replace").split(" "))

    def queue_id(self, address: bytes) -> str | None:
        """The queue ID of the copy that the delivery sendmail has accepted for an address; None if it has not."""
        return self._details.get((_SENT, _key(address)))

    def doubts(self, address: bytes) -> int:
        """How many copies were sent of which it is unknown whether they arrived."""
        return self._doubts[_key(address)]

    def entry(self, area: str, addresses: Iterable[bytes]) -> str | None:
        """The ID of the entry that was stored in an area for exactly these addresses; None if there is none."""
        return self._details.get((_KEPT, _key(area.encode(), *addresses)))

    def begin(self, addresses: Iterable[bytes]) -> None:
        """A copy for these addresses will be sent."""
        self._note(_BEGUN, map(_key, addresses))

    def sent(self, addresses: Iterable[bytes], queue_id: str) -> None:
        """The delivery sendmail has accepted the copy."""
        self._note(_SENT, map(_key, addresses), queue_id)

    def not_sent(self, addresses: Iterable[bytes]) -> None:
        """The delivery sendmail has refused the copy, which was begun."""
        self._note(_NOT_SENT, map(_key, addresses))

    def kept(self, area: str, addresses: Iterable[bytes], entry: str) -> None:
        """The message was stored for these addresses."""
        self._note(_KEPT, [_key(area.encode(), *addresses)], entry)

    def forget(self) -> None:
        """Remove the page: the same bytes are another message from now on."""
        with _failing(self._path):
            self._path.unlink(missing_ok=True)

    def _note(self, word: str, keys: Iterable[str], detail: str = "") -> None:
        steps = [[word, key, detail or _NOTHING] for key in keys]
        with _failing(self._path):
            append(self._descriptor, "".join(f"{' '.join(step)}\n" for step in steps).encode("ascii", "replace"))
        for step in steps:
            self._read(step)

    def _read(self, step: list[str]) -> None:
        """A line that a crash has torn is skipped."""
        if len(step) != 3:  # noqa: PLR2004 - word, key, detail
            return
        word, key, detail = step
        self._doubts[key] += {_BEGUN: 1, _NOT_SENT: -1, _SENT: -1}.get(word, 0)
        self._details[word, key] = "" if detail == _NOTHING else detail


def _key(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _remove(path: Path) -> bool:
    """Whether the file is gone; one that a session has locked stays."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    return True


@contextmanager
def _failing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"copies {place}: {error.strerror or error}") from error
