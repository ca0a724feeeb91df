"""Sends a notice for each message of an area that wants one, as soon as its entry is in the index."""

from collections import deque

from miltscan.errors import EntryError
from miltscan.quarantine.audience import HORIZON, Addressee, MailStep, event, open_notices
from miltscan.quarantine.entry import Standing, time_of
from miltscan.quarantine.post import Mailed, Mails, Post
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.shown import Notice, shown_message, zone
from miltscan.quarantine.store import Store

_HOUR = 3600.0
_OVERLAP = 120.0  # seconds for a message that was being stored at the last look
_PAGE = 500
_LARGEST_BACKLOG = 20_000  # entries


class Notices:
    """The notices that are left to send.

    All of this is in memory and follows from the files: what was sent is in the state files, and what is older than
    `HORIZON` is no news.
    """

    def __init__(self, store: Store, mails: Mails, post: Post, now: float) -> None:
        self._store, self._mails, self._post = store, mails, post
        self._wanted = any(any(area.notice) for area in mails.areas.values()) and mails.max_per_hour > 0
        self._began = now
        self._cursor = now - HORIZON  # entries that are older were seen
        self._seen = set[str]()
        self._pending = dict[str, float]()  # the time of the next attempt; 0 before the first look at the entry
        self._hour = deque[float]()  # the times of the notices of an hour

    def work(self, now: float, limit: int) -> list[Mailed]:
        """Send the notices that are due, about `limit` at most. Raises StoreError."""
        done = list[Mailed]()
        if not self._wanted:
            return done
        self._discover(now)
        for entry_id in sorted(entry_id for entry_id, again in self._pending.items() if again <= now):
            if len(done) >= limit or self._room(now) <= 0 or self._post.paused(now):
                break
            done += self._notify(entry_id, now, first=self._pending.pop(entry_id) == 0)
        return done

    def _discover(self, now: float) -> None:
        """Take in the entries that the index did not have at the last look.

        The oldest entry that waits for the index bounds how far later looks may begin.
        """
        waiting = self._store.files.waiting()
        last, start = "", Selection(newer_than=self._cursor - _OVERLAP)
        while rows := self._store.rows(start, _PAGE, last):
            for row in rows:
                area = self._mails.areas.get(row.area)
                if row.id not in self._seen and area and any(area.notice) and row.duplicate_of is None:
                    self._pending[row.id] = 0
            self._seen.update(row.id for row in rows)
            last = rows[-1].id
        oldest = time_of(waiting[0]) if waiting else now
        self._cursor = max(self._cursor, now - HORIZON, min(now, oldest))
        self._seen = {entry_id for entry_id in self._seen if time_of(entry_id) >= self._cursor - _OVERLAP}
        for entry_id in sorted(self._pending)[:-_LARGEST_BACKLOG]:
            del self._pending[entry_id]

    def _room(self, now: float) -> int:
        """How many notices may be sent in this hour."""
        while self._hour and self._hour[0] <= now - _HOUR:
            self._hour.popleft()
        return self._mails.max_per_hour - len(self._hour)

    def _notify(self, entry_id: str, now: float, *, first: bool) -> list[Mailed]:
        """Send what is due of an entry."""
        try:
            standing = self._store.files.read(entry_id)
            if first:  # what this process did not send counts, too
                sent = (
                    one.time for one in standing.events if one.notice == MailStep.SENDING and one.time < self._began
                )
                self._hour = deque(sorted((*self._hour, *sent)))
            due = self._open(standing)
            if now >= standing.entry.time + HORIZON:
                return [Mailed("notice", entry_id, addressee, MailStep.DROPPED, "") for addressee in [*due][:1]]
            done = [
                self._send(standing, addressee, now)
                for addressee, again in due.items()
                if again <= now and self._room(now) > 0 and not self._post.paused(now)
            ]
            if left := self._open(self._store.files.read(entry_id)):
                self._pending[entry_id] = max(now, min(left.values()))
        except EntryError:  # deleted meanwhile
            return []
        return done

    def _open(self, standing: Standing) -> dict[Addressee, float]:
        area = self._mails.areas[standing.entry.area]
        return open_notices(standing, area.notice, self._mails.administrators)

    def _send(self, standing: Standing, addressee: Addressee, now: float) -> Mailed:
        """Send one notice; that it will be sent is on disk before."""
        entry = standing.entry
        recipient = None if addressee.administrator else addressee.address
        message = shown_message(standing, self._mails.areas[entry.area].max_age, recipient)
        content = Notice(self._mails.sender.host, addressee.administrator, zone(entry.time), message)
        mail = self._post.message(addressee, f"notice.{entry.id}", content, now)
        self._store.record(entry.id, event(MailStep.SENDING, addressee, now))
        self._hour.append(now)
        step, reply = self._post.send(addressee, mail, now)
        self._store.record(entry.id, event(step, addressee, now, reply))
        return Mailed("notice", entry.id, addressee, step, reply)
