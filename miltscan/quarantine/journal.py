"""When summaries are due, of which time, and the journal of what was sent.

    DIRECTORY/summaries/YYYY-MM-DD    the journal of the summaries of a day (of the host's time zone): JSON lines

Its first line has the window, the time of which the summaries are; then there is a line for each step of a mail, and a
last one when every mail was tried. A window begins where the last one ended: no message is missed or listed twice,
whatever happens to the time zone, summer time and `notice.summary_at`. The name of the file bounds them to one a day.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from miltscan.errors import StoreError
from miltscan.quarantine.audience import Addressee, AddresseeKey, Attempt, MailStep, stepped
from miltscan.quarantine.entry import first_id
from miltscan.quarantine.writing import append, locked, sync

SETTLING = 60.0
"""Seconds after its end that a window waits: a message that was being stored has its time already, and no entry yet."""
LONGEST = 7 * 86400.0  # seconds: after a longer pause of the service the older ones are no news
_KEPT_DAYS = 35


class Window(NamedTuple):
    """The time of which the summaries of a day are: later than `since`, up to `until` (epoch, seconds)."""

    day: str
    since: float
    until: float


def due_window(now: float, at: time, last: Window | None) -> Window | None:
    """The window after the `last` one whose summaries are due at `now` (epoch, seconds); None if none are.

    `at` is a time of day in the host's time zone. Where a clock is set forward over it, it is the time that a clock
    without the change shows; where it is set back, the first of both.
    """
    today = datetime.fromtimestamp(now - SETTLING).astimezone().date()
    day = today if _at(today, at) <= now - SETTLING else today - timedelta(days=1)
    until = _at(day, at)
    if last is None:
        return Window(day.isoformat(), _at(day - timedelta(days=1), at), until)
    if day.isoformat() <= last.day or until <= last.until:
        return None
    return Window(day.isoformat(), max(last.until, until - LONGEST), until)


def _at(day: date, at: time) -> float:
    return datetime.combine(day, at).timestamp()


class Journal:
    """The journal of one window: `attempts` has the last step of each mail, `since` where its listing begins.

    That is earlier than the window for somebody whose summary of the window before was refused all day.
    """

    def __init__(self, path: Path, window: Window) -> None:
        self.path, self.window = path, window
        self.attempts = dict[AddresseeKey, Attempt]()
        self.since = dict[AddresseeKey, float]()
        self.done = False

    def record(self, step: MailStep, addressee: Addressee, since: float, now: float, reply: str = "") -> None:
        """Append a step, which is durable when this returns. Raises StoreError."""
        fields = {"time": now, "step": step, "to": os.fsdecode(addressee.address), "since": since, "reply": reply}
        self._append(fields | ({"administrator": True} if addressee.administrator else {}))

    def finish(self) -> None:
        """Append that no mail is left. Raises StoreError."""
        self._append({"done": True})

    def _append(self, fields: dict[str, Any]) -> None:
        with _failing(self.path), locked(self.path, os.O_RDWR | os.O_APPEND) as descriptor:
            append(descriptor, _line(fields))
        self.learn(fields)

    def learn(self, fields: dict[str, Any]) -> None:
        """Take in a line; one that cannot be read is as if it had not been written."""
        with suppress(KeyError, ValueError, TypeError, AttributeError, OverflowError):
            if fields.get("done"):
                self.done = True
                return
            addressee = Addressee(os.fsencode(fields["to"]), bool(fields.get("administrator")))
            attempt = stepped(self.attempts.get(addressee.key), MailStep(fields["step"]), float(fields["time"]))
            self.since[addressee.key] = float(fields["since"])
            self.attempts[addressee.key] = attempt

    def left(self, key: AddresseeKey) -> float:
        """The end of what has been listed for somebody (epoch, seconds): of this window, unless no mail got through."""
        attempt = self.attempts.get(key)
        if attempt is None:
            return self.window.until if self.done else self.window.since
        return self.since[key] if attempt.step is MailStep.REFUSED else self.window.until

    def begins(self, key: AddresseeKey, before: "Journal | None") -> float:
        """Where the summary of this window begins for somebody; `before` is the journal of the window before."""
        if key in self.since:
            return self.since[key]
        left = before.left(key) if before else self.window.since
        return max(self.window.until - LONGEST, min(self.window.since, left))

    def beginnings(self, before: "Journal | None") -> set[float]:
        """Where the summaries of this window begin: nearly all at one time."""
        keys = {*self.attempts, *(before.attempts if before else ()), AddresseeKey(administrator=False, address="")}
        return {self.begins(key, before) for key in keys}


class Journals:
    """The journals below the `directory` of the quarantine."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "summaries"

    def latest(self, before: str = "9999") -> Journal | None:
        """The journal of the latest day before that one. Raises StoreError."""
        for day in reversed(self._days()):
            if day < before and (journal := self._read(day)):
                return journal
        return None

    def begin(self, window: Window) -> Journal:
        """A new journal, and none of days that are long past. Raises StoreError."""
        path = self.folder / window.day
        with _failing(self.folder):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with locked(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as descriptor:
                append(descriptor, _line({"since": window.since, "until": window.until}))
            sync(self.folder)
            for day in self._days():
                if day < (date.fromisoformat(window.day) - timedelta(days=_KEPT_DAYS)).isoformat():
                    (self.folder / day).unlink(missing_ok=True)
        return Journal(path, window)

    def _days(self) -> list[str]:
        with _failing(self.folder):
            try:
                return sorted(path.name for path in self.folder.iterdir() if _is_day(path.name))
            except FileNotFoundError:
                return []

    def _read(self, day: str) -> Journal | None:
        """The journal of a day; None if a crash left it without its first line: no mail was sent then."""
        with _failing(self.folder):
            lines = (self.folder / day).read_bytes().split(b"\n")
        records = [record for line in lines[:-1] if isinstance(record := _parsed(line), dict)]
        try:
            window = Window(day, float(records[0]["since"]), float(records[0]["until"]))
            first_id(window.since), first_id(window.until)  # no infinite time
        except (IndexError, KeyError, TypeError, ValueError, OverflowError):
            return None
        journal = Journal(self.folder / day, window)
        for record in records[1:]:
            journal.learn(record)
        return journal


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    """What goes wrong with a file is a StoreError that names it."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
