"""Sends the summaries of a day, each once: what was sent is in the journal of the day before it is."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from miltscan.errors import EntryError
from miltscan.quarantine.audience import INCOMING, Addressee, AddresseeKey, MailStep, address_key
from miltscan.quarantine.entry import Standing, time_of
from miltscan.quarantine.journal import Journal, Journals, due_window
from miltscan.quarantine.mailtext import shown_size, shown_text
from miltscan.quarantine.post import Mailed, Mails, Post
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.shown import AreaShown, Shown, Summary, local_minute, shown_message, zone
from miltscan.quarantine.store import Store
from miltscan.quarantine.tables import Row

_PAGE = 500
_LISTED = 50  # messages in a summary


class Listing(NamedTuple):
    """A summary to send: where it begins (epoch, seconds), and the number of its messages in each area."""

    since: float
    areas: Counter[str]


class Summaries:
    """The summaries of the last window that are left to send."""

    def __init__(self, store: Store, mails: Mails, post: Post) -> None:
        self._store, self._mails, self._post = store, mails, post
        self._wanted = any(any(area.summary) for area in mails.areas.values())
        self._journals = Journals(store.files.directory)
        self._journal: Journal | None = None
        self._left: dict[AddresseeKey, Listing] | None = None

    def work(self, now: float, limit: int) -> list[Mailed]:
        """Send the summaries that are due, `limit` at most. Raises StoreError."""
        done = list[Mailed]()
        if not self._wanted:
            return done
        self._turn(now)
        if self._journal is None or self._left is None:
            return done
        for key in [*self._left]:
            if len(done) >= limit or self._post.paused(now):
                break
            attempt = self._journal.attempts.get(key)
            again = 0.0 if attempt is None else attempt.again
            if again is None:
                del self._left[key]
            elif again <= now and (mailed := self._send(self._journal, key, self._left.pop(key), now)):
                done.append(mailed)
        if not self._journal.done and self._left.keys() <= self._journal.attempts.keys():
            self._journal.finish()
        return done

    def _turn(self, now: float) -> None:
        """Begin the window that is due, or continue the last one after a start."""
        if self._journal is None:
            tomorrow = datetime.fromtimestamp(now).astimezone().date() + timedelta(days=1)
            self._journal = self._journals.latest(tomorrow.isoformat())
        before = self._journal
        window = due_window(now, self._mails.summary_at, before.window if before else None)
        if window and not self._awaits(window.until):
            self._journal = self._journals.begin(window)
            self._left = self._collect(self._journal, before)
        elif before and self._left is None:
            self._left = self._collect(before, self._journals.latest(before.window.day))

    def _awaits(self, until: float) -> bool:
        """Whether an entry of the time before that is not in the index."""
        new = self._store.files.new
        earlier = (one for one in self._store.files.waiting() if time_of(one) < until)
        return any((new / f"{one}.entry").exists() for one in earlier)  # only its state may wait, too

    def _collect(self, journal: Journal, before: Journal | None) -> dict[AddresseeKey, Listing]:
        """All summaries of a window; `before` is the journal of the one before."""
        found = dict[AddresseeKey, Listing]()
        for row in self._rows(Selection(newer_than=journal.earliest(before), older_than=journal.window.until)):
            for key in self._keys(row):
                if key not in found:
                    found[key] = Listing(journal.begins(key, before), Counter())
                if time_of(row.id) >= found[key].since:
                    found[key].areas[row.area] += 1
        return {key: listing for key, listing in found.items() if listing.areas}

    def _keys(self, row: Row) -> Iterator[AddresseeKey]:
        """Whose summary lists an entry. The second copy of a message that a client has sent again is in none."""
        area = self._mails.areas.get(row.area)
        if area is None or row.duplicate_of is not None:
            return
        if area.summary.administrators:
            yield from {
                AddresseeKey(administrator=True, address=address_key(one)) for one in self._mails.administrators
            }
        if area.summary.recipients and row.direction in INCOMING:
            yield from {AddresseeKey(administrator=False, address=one.address.lower()) for one in row.recipients}

    def _rows(self, wanted: Selection) -> Iterator[Row]:
        last = ""
        while rows := self._store.rows(wanted, _PAGE, last):
            yield from rows
            last = rows[-1].id

    def _send(self, journal: Journal, key: AddresseeKey, listing: Listing, now: float) -> Mailed | None:
        """Send one summary; None if its entries have been deleted. That it will be sent is on disk before."""
        listed = [*self._listed(key, listing.since, journal.window.until)]
        if not listed:
            return None
        addressee = self._target(key, listed[0])
        content = self._summary(journal, addressee, listing, listed)
        mail = self._post.message(addressee, f"summary.{journal.window.day}", content, now)
        journal.record(MailStep.SENDING, addressee, listing.since, now)
        step, reply = self._post.send(addressee, mail, now)
        journal.record(step, addressee, listing.since, now, reply)
        if step is MailStep.REFUSED and self._left is not None:
            self._left[key] = listing
        return Mailed("summary", journal.window.day, addressee, step, reply)

    def _listed(self, key: AddresseeKey, since: float, until: float) -> Iterator[Standing]:
        """The newest entries of a summary."""
        address = "" if key.administrator else key.address
        count = 0
        for row in self._rows(Selection(recipient=address, newer_than=since, older_than=until)):
            if key not in self._keys(row):
                continue
            try:
                yield self._store.files.read(row.id)
            except EntryError:  # deleted meanwhile
                continue
            count += 1
            if count == _LISTED:
                return

    def _target(self, key: AddresseeKey, standing: Standing) -> Addressee:
        """The address behind a key, as the settings or RCPT have it."""
        addresses = self._mails.administrators if key.administrator else standing.entry.recipients
        return Addressee(next(one for one in addresses if address_key(one) == key.address), key.administrator)

    def _summary(self, journal: Journal, addressee: Addressee, listing: Listing, listed: list[Standing]) -> Summary:
        total = listing.areas.total() if len(listed) == _LISTED else len(listed)
        return Summary(
            host=self._mails.sender.host,
            administrator=addressee.administrator,
            since=local_minute(listing.since),
            until=local_minute(journal.window.until),
            zone=zone(journal.window.until),
            total=total,
            messages=tuple(self._shown(one, addressee) for one in listed),
            areas=tuple(self._areas(listing)) if addressee.administrator else (),
        )

    def _shown(self, standing: Standing, addressee: Addressee) -> Shown:
        entry = standing.entry
        max_age = self._mails.areas[entry.area].max_age
        if addressee.administrator:
            return shown_message(standing, max_age)
        own = next(one for one in entry.recipients if address_key(one) == addressee.key.address)
        return shown_message(standing, max_age, own)

    def _areas(self, listing: Listing) -> Iterator[AreaShown]:
        totals = {one.area: one for one in self._store.totals()}
        for name, stored in sorted(listing.areas.items()):
            if total := totals.get(name):
                oldest = local_minute(total.oldest).partition(" ")[0]
                yield AreaShown(shown_text(name), stored, total.entries, shown_size(total.bytes), oldest)
