"""The journal of late detections: what is detected now and may have been delivered before.

    DIRECTORY/digests/YYYY-MM-DD.late     JSON lines of a day (UTC): a digest that was detected, a step of a notice
                                          about it, or that nothing is left to do

A digest is noted once a day, however often it comes, and on disk before anything follows. What was noted and is not
done is open, also after a restart; the days before yesterday are not opened again.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

from miltscan.core.archived import DIGEST_SIZE, Detected
from miltscan.errors import StoreError
from miltscan.quarantine.archive import utc_day
from miltscan.quarantine.audience import Addressee, AddresseeKey, Attempt, MailStep, stepped
from miltscan.quarantine.writing import append, locked

MOST_A_DAY = 10_000
"""Digests of a day that are noted: a flood of malware that differs in each message must not fill memory and disk."""
_FOLDER_MODE = 0o700

LateKey = tuple[date, bytes]
"""A day and a digest."""


@dataclass(slots=True)
class LateDetection:
    """A digest that was detected on a day; `attempts` has the last step of the notice to each administrator."""

    detected: Detected
    day: date
    attempts: dict[AddresseeKey, Attempt] = field(default_factory=dict)
    done: bool = False

    @property
    def key(self) -> LateKey:
        """What identifies it."""
        return self.day, self.detected.digest


class LateJournal:
    """The journal below the `directory` of the quarantine. Its methods may be called by several threads."""

    def __init__(self, directory: Path, now: float) -> None:
        self.folder = directory / "digests"
        self._lock = Lock()
        self._known = dict[LateKey, LateDetection]()
        today = utc_day(now)
        for day in (today - timedelta(days=1), today):
            self._read(day)

    def note(self, detections: Iterable[Detected], now: float) -> int:
        """Note the digests that were not detected yet on this day; the number of those for which there is no room.

        Raises StoreError.
        """
        day = utc_day(now)
        with self._lock:
            before = day - timedelta(days=1)
            self._known = {key: one for key, one in self._known.items() if key[0] >= before}
            room = MOST_A_DAY - sum(of_day == day for of_day, _ in self._known)
            new = {(day, one.digest): one for one in detections if (day, one.digest) not in self._known}
            taken = dict([*new.items()][: max(0, room)])
            self._append(day, [_noted(one) for one in taken.values()])
            self._known |= {key: LateDetection(one, day) for key, one in taken.items()}
            return len(new) - len(taken)

    def open(self) -> list[LateDetection]:
        """Those for which something is left to do, the oldest first."""
        with self._lock:
            return [one for one in self._known.values() if not one.done]

    def step(self, one: LateDetection, step: MailStep, addressee: Addressee, now: float) -> None:
        """Note a step of the notice to an administrator. Raises StoreError."""
        address = os.fsdecode(addressee.address)
        self._learned(one, {"digest": one.detected.digest.hex(), "step": step, "to": address, "time": now})

    def finish(self, one: LateDetection) -> None:
        """Note that nothing is left to do. Raises StoreError."""
        self._learned(one, {"digest": one.detected.digest.hex(), "done": True})

    def _learned(self, one: LateDetection, fields: dict[str, Any]) -> None:
        with self._lock:
            self._append(one.day, [fields])
            _learn(one, fields)

    def _append(self, day: date, lines: list[dict[str, Any]]) -> None:
        if not lines:
            return
        try:
            self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            with locked(self.folder / f"{day.isoformat()}.late", os.O_RDWR | os.O_CREAT | os.O_APPEND) as descriptor:
                append(descriptor, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
        except OSError as error:
            raise _failure(self.folder, error) from error

    def _read(self, day: date) -> None:
        """Take in the lines of a day; one that a crash has torn is as if it had not been written."""
        try:
            with (self.folder / f"{day.isoformat()}.late").open("rb") as lines:
                for line in lines:
                    self._take_in(day, line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failure(self.folder, error) from error

    def _take_in(self, day: date, line: bytes) -> None:
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            fields = json.loads(line)
            digest = bytes.fromhex(fields["digest"])
            if "signature" in fields and len(digest) == DIGEST_SIZE:
                detected = Detected(digest, str(fields["signature"]), str(fields["queue_id"]), float(fields["time"]))
                self._known.setdefault((day, digest), LateDetection(detected, day))
            else:
                _learn(self._known[day, digest], fields)


def prune_late(directory: Path, keep_from: date) -> None:
    """Remove the journals of days before that one. Raises StoreError."""
    folder = directory / "digests"
    try:
        for path in folder.glob("*.late"):
            with suppress(ValueError):
                if date.fromisoformat(path.stem) < keep_from:
                    path.unlink(missing_ok=True)
    except OSError as error:
        raise _failure(folder, error) from error


def _failure(folder: Path, error: OSError) -> StoreError:
    return StoreError(f"archive {folder}: {error.strerror or error}")


def _noted(one: Detected) -> dict[str, Any]:
    return {"digest": one.digest.hex(), "signature": one.signature, "queue_id": one.queue_id, "time": one.time}


def _learn(one: LateDetection, fields: dict[str, Any]) -> None:
    if fields.get("done"):
        one.done = True
        return
    addressee = Addressee(os.fsencode(fields["to"]), administrator=True)
    before = one.attempts.get(addressee.key)
    one.attempts[addressee.key] = stepped(before, MailStep(fields["step"]), float(fields["time"]))
