"""The archive of digests in the keeper: writes what the workers send, and looks up what is detected now.

No message waits for it. What cannot be written is counted and logged: mail is not concerned. Where the setting is off,
files of former settings are removed.
"""

import select
import socket
import time
from collections import deque
from datetime import UTC, date, datetime
from pathlib import Path

from miltscan.config.keyfile import Loaded
from miltscan.core.archived import Detected, detected_digests
from miltscan.core.report import RECIPIENTS_SHOWN, Report
from miltscan.daemon.keeping import ClockWatch, Current, Health
from miltscan.daemon.notifying import mails_of, record_mail
from miltscan.errors import StoreError
from miltscan.quarantine.archive import DigestArchive, utc_day
from miltscan.quarantine.late import MOST_A_DAY, LateJournal, prune_late
from miltscan.quarantine.late_notices import LateNotices, LookedUp
from miltscan.quarantine.post import Mails, Post
from miltscan.telemetry import keeper_metrics, log
from miltscan.telemetry.digests import delivery_of, detected_of
from miltscan.telemetry.stream import Record, received_records

_WAIT = 1.0  # seconds for the next data of a worker
_POLL = 2.0  # seconds between two looks for what was detected
_MEASURE = 60.0  # seconds between two looks for days that are too old
_RETRY = 5.0  # seconds until a journal that could not be read is tried again


class Archiving:
    """The archive of a service below the `directory` of the quarantine; `channel` is None if the setting is off."""

    def __init__(self, current: Current, directory: Path, channel: socket.socket | None) -> None:
        self._current, self._directory, self._channel = current, directory, channel
        self._archive = DigestArchive(directory)
        self._late: tuple[LateJournal, LateNotices] | None = None
        self._made: tuple[Loaded, Post, Mails] | None = None
        self._detections = deque[Detected](maxlen=MOST_A_DAY)  # what is not in the journal yet
        self._health, self._expiry_health = Health("archive"), Health("archive")
        self._note_health, self._search_health = Health("archive lookup"), Health("archive lookup")
        self._clock = ClockWatch()
        self._measured = 0.0
        if channel:
            channel.setblocking(False)  # noqa: FBT003 - socket's own signature

    def receive(self) -> float:
        """Wait a moment for data of the workers, and write all that has come. Returns 0: it is to be called again."""
        if self._channel is None:
            self._expire(everything=True)
            return _MEASURE
        select.select([self._channel], [], [], _WAIT)
        while records := received_records(self._channel):
            self._write(records)
        self._note_detections()
        if time.monotonic() >= self._measured:
            self._expire(everything=False)
            self._measured = time.monotonic() + _MEASURE
        return 0.0

    def detected(self, report: Report, queue_id: str) -> None:
        """A rescan has found something in a stored message that came with this queue ID."""
        now, signature = time.time(), report.verdict.signature or ""
        self._detections.extend(Detected(one, signature, queue_id, now) for one in detected_digests(report))

    def look_up(self) -> float:
        """Look up what was detected, and send notices; return the seconds until the next look."""
        if self._late is None:
            return _POLL
        late, loaded = self._late[1], self._current()
        began = time.monotonic()
        try:
            for one in late.look_up():
                _record_search(one)
            took = time.monotonic() - began
            post, mails = self._post(loaded)
            for mailed in late.send(post, mails, time.time()):
                record_mail(mailed)
        except StoreError as error:
            self._search_health.fails(str(error))
            return _RETRY
        self._search_health.works()
        return max(_POLL, took)  # so that a flood of detections takes at most half of a disk's time

    def _write(self, records: list[Record]) -> None:
        messages = [
            (delivery_of(one), [bytes.fromhex(digest) for digest in one["digests"]])
            for one in records
            if one["recipients_count"]
        ]
        for one in records:
            self._detections.extend(detected_of(one))
        if not messages:
            return
        try:
            self._archive.add(messages, utc_day(time.time()))
        except StoreError as error:
            self._health.fails(str(error))
            keeper_metrics.ARCHIVED.child("failed").inc(len(messages))
        else:
            self._health.works()
            keeper_metrics.ARCHIVED.child("kept").inc(len(messages))

    def _note_detections(self) -> None:
        """Note in the journal what was detected; what cannot be noted now is tried again."""
        taken = [self._detections.popleft() for _ in range(len(self._detections))]
        try:
            if self._late is None:
                journal = LateJournal(self._directory, time.time())
                self._late = journal, LateNotices(self._archive, journal)
            skipped = self._late[0].note(taken, time.time())
        except StoreError as error:
            self._note_health.fails(str(error))
            self._detections.extend(taken)
            return
        self._note_health.works()
        keeper_metrics.ARCHIVE_SEARCHES.child("skipped").inc(skipped)

    def _expire(self, *, everything: bool) -> None:
        """Remove the days that are too old or too many; a day begins at midnight UTC."""
        now, settings = time.time(), self._current().settings.archive
        if self._clock.is_ahead(now, time.clock_gettime(time.CLOCK_BOOTTIME)):
            return
        keep_from = date.max if everything else utc_day(now - settings.digests)
        try:
            removed = self._archive.prune(keep_from, settings.max_size)
            prune_late(self._directory, keep_from)
            keeper_metrics.ARCHIVE_BYTES.child().set(self._archive.size())
        except StoreError as error:
            self._expiry_health.fails(str(error))
            return
        self._expiry_health.works()
        if removed:
            log.logger().info("archive_expired", days=[one.isoformat() for one in removed])

    def _post(self, loaded: Loaded) -> tuple[Post, Mails]:
        if self._made is None or self._made[0] is not loaded:
            key = loaded.keys[0] if loaded.keys and loaded.settings.has_verifier else None
            mails = mails_of(loaded.settings, socket.gethostname())
            self._made = loaded, Post(mails, key, _broken), mails
        return self._made[1:]


def _record_search(one: LookedUp) -> None:
    """Count a lookup; write a line about what was delivered before, and one for each of the first messages."""
    keeper_metrics.ARCHIVE_SEARCHES.child("delivered" if one.found else "unknown").inc()
    if one.found is None:
        return
    about, digest = one.late.detected, one.late.detected.digest.hex()
    log.logger().warning(
        "detected_late", queue_id=about.queue_id, signature=about.signature, digest=digest, messages=one.found.total
    )
    for mail in one.found.deliveries:
        log.logger().warning(
            "delivered_before",
            queue_id=mail.queue_id,
            delivered=datetime.fromtimestamp(mail.time, UTC).isoformat(timespec="seconds"),
            client_address=mail.client,
            sender=mail.sender.decode("utf-8", "backslashreplace"),
            recipients=[one.decode("utf-8", "backslashreplace") for one in mail.recipients[:RECIPIENTS_SHOWN]],
            recipients_count=mail.recipients_count,
            signature=about.signature,
            digest=digest,
        )


def _broken(line: str) -> None:
    log.logger().error("template_broken", why=line)
