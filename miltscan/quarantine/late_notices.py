"""Looks up in the archive what is detected now, and sends the administrators a notice of whoever received it before.

A notice is sent at most once to an administrator: that it will be sent is on disk before. What was interrupted before
is looked up again. Administrators are those of `notice.administrators`; without any the log and a metric remain.
"""

from collections import deque
from typing import NamedTuple

from miltscan.quarantine.archive import DigestArchive, EarlierMail
from miltscan.quarantine.audience import Addressee, MailStep
from miltscan.quarantine.late import LateDetection, LateJournal, LateKey
from miltscan.quarantine.post import Mailed, Mails, Post
from miltscan.quarantine.shown import late_notice

_HOUR = 3600.0
_OLD = 86400.0  # seconds after which a notice that could not be sent is given up
_AT_ONCE = 500  # digests that one pass over the archive looks for


class LookedUp(NamedTuple):
    """A digest that was looked up: the messages that had it, None if there were none."""

    late: LateDetection
    found: EarlierMail | None


class LateNotices:
    """The lookups and notices that are left; it knows what the journal says, and what this process has looked up."""

    def __init__(self, archive: DigestArchive, journal: LateJournal) -> None:
        self._archive, self._journal = archive, journal
        self._found = dict[LateKey, EarlierMail]()
        self._hour = deque[float]()

    def look_up(self) -> list[LookedUp]:
        """Look up what is new, in one pass over the archive. Raises StoreError."""
        new = [one for one in self._journal.open() if one.key not in self._found][:_AT_ONCE]
        if not new:
            return []
        besides = {one.detected.digest: one.detected.queue_id for one in new}
        found = self._archive.search([*besides], besides=besides)
        done = [LookedUp(one, found.get(one.detected.digest)) for one in new]
        for late, messages in done:
            if messages is None:
                self._journal.finish(late)
            else:
                self._found[late.key] = messages
        return done

    def send(self, post: Post, mails: Mails, now: float) -> list[Mailed]:
        """Send the notices that are due. Raises StoreError."""
        done, left = list[Mailed](), dict[LateKey, EarlierMail]()
        for late in self._journal.open():
            if found := self._found.get(late.key):
                done += self._notify(late, found, _Way(post, mails, now))
                if not late.done:
                    left[late.key] = found
        self._found = left
        return done

    def _notify(self, late: LateDetection, found: EarlierMail, way: "_Way") -> list[Mailed]:
        done, left = list[Mailed](), False
        for address in way.mails.administrators:
            addressee = Addressee(address, administrator=True)
            attempt = late.attempts.get(addressee.key)
            again = way.now if attempt is None else attempt.again
            if again is None:
                continue
            if way.now > late.detected.time + _OLD:
                done.append(Mailed("late", late.detected.digest.hex(), addressee, MailStep.DROPPED, ""))
            elif again > way.now or way.post.paused(way.now) or not self._room(way):
                left = True
            else:
                done.append(self._send(late, found, addressee, way))
                left = left or done[-1].step is MailStep.REFUSED
        if not left:
            self._journal.finish(late)
        return done

    def _room(self, way: "_Way") -> bool:
        while self._hour and self._hour[0] <= way.now - _HOUR:
            self._hour.popleft()
        return len(self._hour) < way.mails.max_per_hour

    def _send(self, late: LateDetection, found: EarlierMail, addressee: Addressee, way: "_Way") -> Mailed:
        post, mails, now = way
        digest = late.detected.digest.hex()
        content = late_notice(mails.sender.host, late.detected, found.deliveries, found.total)
        mail = post.message(addressee, f"late.{digest[:16]}.{late.day.isoformat()}", content, now)
        self._journal.step(late, MailStep.SENDING, addressee, now)
        self._hour.append(now)
        step, reply = post.send(addressee, mail, now)
        self._journal.step(late, step, addressee, now)
        return Mailed("late", digest, addressee, step, reply)


class _Way(NamedTuple):
    """How mails are sent now (epoch, seconds)."""

    post: Post
    mails: Mails
    now: float
