"""The allow and deny lists in force in one process: read again when the file changes, at no cost for a message.

A thread compares the file twice a second, so that a disk that hangs delays no mail. Where the file vanishes, or can no
longer be read, the last lists stay in force and an alert fires: with an empty deny list mail would pass.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from miltscan.core.lists import Consultation, ListName, Lists, ListScope, described
from miltscan.core.message import PREFACE, Message
from miltscan.engines.base import Tick
from miltscan.errors import ListError
from miltscan.scanning.listfile import FileState, ListFile
from miltscan.telemetry import mail_metrics

_PERIOD = 0.5  # seconds between two looks
_PAUSE = 60.0  # seconds after a failed write
_SHOWN = 20  # numbers of broken lines in the log
_CHUNK = 256 * 1024  # bytes
_VANISHED = "the file has vanished"


class ListWatch:
    """The lists of one file; `path` is "" for none. `log` returns the logger in force."""

    def __init__(self, path: str, log: Callable[[], FilteringBoundLogger]) -> None:
        self.path = path
        self.current = Lists()
        self._file = ListFile(Path(path)) if path else None
        self._log = log
        self._seen: FileState | None = None
        self._fault = ""
        self._expire_after = 0.0
        self._ended = threading.Event()
        self._count(self.current)
        self.look()

    def start(self) -> None:
        """Look at the file from now on, in a thread that ends with the process or with `end`."""
        if self._file:
            threading.Thread(target=self._run, name="lists", daemon=True).start()

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD):
            self.look()

    def look(self) -> None:
        """Read the file if it has changed, and record what has expired. Never raises."""
        if self._file is None:
            return
        try:
            state = self._file.state()
            if state is None and self._seen:
                self._failing(_VANISHED)
            elif state != self._seen or self._fault:
                self._read(self._file, state)
        except (ListError, OSError) as error:
            self._failing(str(error))
        if not self._fault:
            self._expire(self._file)

    def _read(self, file: ListFile, state: FileState | None) -> None:
        """Put the lists in the file into force. Raises ListError."""
        lists = file.read()
        new = set(lists.broken) - set(self.current.broken)
        self.current, self._seen, self._fault = lists, state, ""
        allow, deny = self._count(lists)
        self._log().info("lists_read", file=self.path, allow=allow, deny=deny)
        if new:
            lines = ", ".join(map(str, sorted(new)[:_SHOWN]))
            self._log().error("lists_broken", file=self.path, number=len(new), lines=lines)

    def _count(self, lists: Lists) -> tuple[int, int]:
        """Update the metrics; return the numbers of entries that allow and deny."""
        number = {name: sum(one.list is name for one in lists.entries) for name in ListName}
        mail_metrics.LISTS_STALE.child().set(0)
        mail_metrics.LISTS_BROKEN.child().set(len(lists.broken))
        for name in ListName:
            mail_metrics.LIST_ENTRIES.child(name).set(number[name])
        return number[ListName.ALLOW], number[ListName.DENY]

    def _failing(self, why: str) -> None:
        """Log a new fault of the file; the last lists stay in force."""
        if why != self._fault:
            self._fault = why
            self._log().error("lists_fail", file=self.path, why=why)
            mail_metrics.LISTS_STALE.child().set(1)

    def _expire(self, file: ListFile) -> None:
        """Record expired entries: they are out of force already, and the lists without them are read at the next look.

        If that fails, such as on a full disk, only the record is late.
        """
        now = time.time()
        if now < self._expire_after or all(one.is_in_force(now) for one in self.current.entries):
            return
        try:
            for one in file.expire(now):
                self._log().info("list_expired", id=one.id, list=one.list, what=described(one))
        except ListError as error:
            self._expire_after = now + _PAUSE
            self._log().error("lists_fail", file=self.path, why=str(error))

    def consult(self, message: Message, tick: Tick, scope: ListScope = ListScope.WHOLE) -> Consultation | None:
        """The lists for a message; None where they are empty."""
        lists = self.current
        if not lists:
            return None
        return Consultation(lists, message, time.time(), partial(message_digest, message, tick), scope)


def message_digest(message: Message, tick: Tick) -> str:
    """SHA-256 of the message as received, headers and body, in hexadecimal, read from the spool. Raises OSError."""
    digest, offset = hashlib.sha256(), len(PREFACE)
    while chunk := os.pread(message.content.fileno(), _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
        tick()
    return digest.hexdigest()
