"""The archive: digests of the parts of accepted mail, and its envelopes, in a pair of files for each day (UTC).

    DIRECTORY/digests/YYYY-MM-DD.mail     a line of JSON for each message: its envelope
    DIRECTORY/digests/YYYY-MM-DD.parts    records of 24 bytes: 16 of the digest, 8 the position of that line

One process appends, at most a few times a second and without fsync: a power failure costs what the kernel had not
written. A line comes before its records, and what a crash has torn is cut off by the next append. A search reads the
records in order, in pieces, so that its memory does not depend on the number of messages (docs/archive.md).
"""

import json
import os
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from miltscan.core.archived import AcceptedMail
from miltscan.errors import StoreError
from miltscan.quarantine.writing import FILE_MODE

_FOLDER_MODE = 0o700
_RECORD = struct.Struct("<16sQ")
_PREFIX = 16
"""Bytes of a digest that a record has: nobody finds two contents that share them (2^64 tries)."""
_PIECE = 4096 * _RECORD.size  # bytes that a search reads at a time
_RESERVE = 0.05  # of the file system that stays free: the quarantine may be on it, and mail is worth more
_LINE = 64 * 1024  # bytes of a line at most
_NAMED = 100
"""Messages that a search returns of one digest: the first ones."""


class EarlierMail(NamedTuple):
    """The first of `total` messages that had a digest."""

    deliveries: tuple[AcceptedMail, ...]
    total: int


class DigestArchive:
    """The archive below the `directory` of the quarantine. One process may append; any may search."""

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "digests"

    def add(self, messages: Sequence[tuple[AcceptedMail, Sequence[bytes]]], day: date) -> None:
        """Append messages, each with its digests, to the files of a day. Raises StoreError: then none is there."""
        with _failing(self.folder):
            if not self.folder.is_dir():
                self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._spare()
            with _appending(self._path(day, "mail")) as mail, _appending(self._path(day, "parts")) as parts:
                _cut(parts, os.fstat(parts).st_size // _RECORD.size * _RECORD.size)
                lines, records, position = bytearray(), bytearray(), _ended(mail)
                for delivery, digests in messages:
                    place = position + len(lines)
                    lines += _line(delivery)
                    records += b"".join(_RECORD.pack(digest[:_PREFIX], place) for digest in digests)
                with _all_or_nothing(mail), _all_or_nothing(parts):
                    _write(mail, lines)
                    _write(parts, records)

    def search(self, digests: Collection[bytes], *, besides: Mapping[bytes, str]) -> dict[bytes, EarlierMail]:
        """The messages that had one of these digests, by it, the oldest first. Raises StoreError.

        `besides` names a queue ID for a digest, whose message is left out: it is the one in which it was detected.
        """
        wanted = {digest[:_PREFIX]: digest for digest in digests}
        found = dict[bytes, EarlierMail]()
        with _failing(self.folder):
            for day in self.days():
                for digest, delivery in self._of_day(day, wanted):
                    if delivery.queue_id != besides.get(digest):
                        named, total = found.get(digest, EarlierMail((), 0))
                        found[digest] = EarlierMail((*named, delivery) if total < _NAMED else named, total + 1)
        return found

    def _of_day(self, day: date, wanted: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, AcceptedMail]]:
        try:
            with self._path(day, "parts").open("rb") as parts, self._path(day, "mail").open("rb") as mail:
                while piece := parts.read(_PIECE):
                    whole = len(piece) // _RECORD.size * _RECORD.size
                    for prefix, place in _RECORD.iter_unpack(piece[:whole]):
                        if prefix in wanted:
                            mail.seek(place)
                            if delivery := _delivery(mail.readline(_LINE)):
                                yield wanted[prefix], delivery
        except FileNotFoundError:  # just removed
            return

    def days(self) -> list[date]:
        """The days that have files, the oldest first. Raises StoreError."""
        with _failing(self.folder):
            try:
                names = os.listdir(self.folder)  # noqa: PTH208 - names are enough
            except FileNotFoundError:
                return []
        found = {day for name in names if name.endswith(".parts") and (day := _day(name))}
        return sorted(found)

    def size(self) -> int:
        """The size of all files, in bytes. Raises StoreError."""
        with _failing(self.folder):
            return sum(self._size_of(day) for day in self.days())

    def prune(self, keep_from: date, most: int) -> list[date]:
        """Remove the days before `keep_from`, and the oldest ones while all have more than `most` bytes.

        Returns the removed days. Raises StoreError.
        """
        removed, days = list[date](), self.days()
        with _failing(self.folder):
            left = sum(map(self._size_of, days))
            for day in days:
                if day >= keep_from and left <= most:
                    break
                left -= self._size_of(day)
                for kind in ("parts", "mail"):
                    self._path(day, kind).unlink(missing_ok=True)
                removed.append(day)
        return removed

    def _size_of(self, day: date) -> int:
        paths = (self._path(day, "parts"), self._path(day, "mail"))
        return sum(path.stat().st_size for path in paths if path.exists())

    def _path(self, day: date, kind: str) -> Path:
        return self.folder / f"{day.isoformat()}.{kind}"

    def _spare(self) -> None:
        space = os.statvfs(self.folder)
        if space.f_bavail < _RESERVE * space.f_blocks:
            raise StoreError(f"archive {self.folder}: less than 5 % of the file system is free. Free some space.")


def utc_day(seconds: float) -> date:
    """The day (UTC) of a time (epoch, seconds)."""
    return datetime.fromtimestamp(seconds, UTC).date()


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name.partition(".")[0])
    except ValueError:
        return None


def _line(delivery: AcceptedMail) -> bytes:
    """The envelope in ASCII; addresses as Latin-1, which has a character for every byte."""
    fields = {
        "time": round(delivery.time, 3),
        "queue_id": delivery.queue_id,
        "client": delivery.client,
        "sender": delivery.sender.decode("latin-1"),
        "recipients": [one.decode("latin-1") for one in delivery.recipients],
    }
    if delivery.recipients_count > len(delivery.recipients):
        fields["recipients_count"] = delivery.recipients_count
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _delivery(line: bytes) -> AcceptedMail | None:
    """The envelope of a line; None for one that a crash has torn."""
    try:
        fields = json.loads(line)
        recipients = tuple(one.encode("latin-1") for one in fields["recipients"])
        return AcceptedMail(
            float(fields["time"]),
            str(fields["queue_id"]),
            str(fields["client"]),
            fields["sender"].encode("latin-1"),
            recipients,
            int(fields.get("recipients_count", len(recipients))),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


@contextmanager
def _appending(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _all_or_nothing(descriptor: int) -> Iterator[None]:
    """Cut off what was appended if not all of it could be: a full disk takes a part."""
    size = os.fstat(descriptor).st_size
    try:
        yield
    except OSError:
        _cut(descriptor, size)
        raise


def _cut(descriptor: int, size: int) -> None:
    if os.fstat(descriptor).st_size != size:
        os.ftruncate(descriptor, size)


def _ended(descriptor: int) -> int:
    """The size of a file of lines, after the torn last one was cut off; a whole line is never longer than `_LINE`."""
    size = os.fstat(descriptor).st_size
    begin = max(0, size - _LINE)
    end = begin + os.pread(descriptor, size - begin, begin).rfind(b"\n") + 1
    _cut(descriptor, end)
    return end


def _write(descriptor: int, data: bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def _failing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"archive {folder}: {error.strerror or error}") from error
