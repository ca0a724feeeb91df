"""Sends the summaries of a day, each once: what was sent is in the journal of the day before it is."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from miltscan.errors import EntryError
from miltscan.quarantine.audience import INCOMING, Addressee, AddresseeKey, MailStep, address_key
from miltscan.quarantine.entry import Standing, time_of
from miltscan.quarantine.journal import Journal, Journals, Window, due_window
from miltscan.quarantine.mailtext import shown_size, shown_text
from miltscan.quarantine.post import Mailed, Mails, Post
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.shown import AreaShown, Shown, Summary, local_minute, shown_message, zone
from miltscan.quarantine.store import Store
from miltscan.quarantine.tables import Row

_LISTED = 50  # messages in a summary
_PAGE = 2 * _LISTED  # rows


class Summaries:
    """The summaries of the last window that are left to send."""

    def __init__(self, store: Store, mails: Mails, post: Post) -> None:
        self._store, self._mails, self._post = store, mails, post
        self._wanted = any(any(area.summary) for area in mails.areas.values())
        self._journals = Journals(store.files.directory)
        self._journal: Journal | None = None
        self._left: dict[AddresseeKey, int] | None = None
        self._begins: Callable[[AddresseeKey], float] = lambda _: 0.0

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

    def _collect(self, journal: Journal, before: Journal | None) -> dict[AddresseeKey, int]:
        """All summaries of a window with the number of their messages; `before` is the journal of the one before."""
        self._begins = partial(journal.begins, before=before)
        found = dict[AddresseeKey, int]()
        for since in journal.beginnings(before):
            wanted = _within(journal.window._replace(since=since))
            counts = [(key, count) for key, count in self._counts(wanted) if self._begins(key) == since]
            found.update(counts)
        return found

    def _counts(self, wanted: Selection) -> Iterator[tuple[AddresseeKey, int]]:
        """The number of messages for everybody who has a summary, as `_keys` has it for a row."""
        areas = [name for name, area in self._mails.areas.items() if area.summary.recipients]
        for address, count in self._store.addressees(wanted, areas, INCOMING).items():
            yield AddresseeKey(administrator=False, address=address), count
        if count := self._stored(wanted).total():
            for one in self._mails.administrators:
                yield AddresseeKey(administrator=True, address=address_key(one)), count

    def _stored(self, wanted: Selection) -> Counter[str]:
        """The number of messages in each area of which administrators have summaries."""
        areas = {name for name, area in self._mails.areas.items() if area.summary.administrators}
        return Counter({name: count for name, count in self._store.counts(wanted).items() if name in areas})

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

    def _send(self, journal: Journal, key: AddresseeKey, count: int, now: float) -> Mailed | None:
        """Send one summary; None if its entries have been deleted. That it will be sent is on disk before."""
        window = journal.window._replace(since=self._begins(key))
        listed = [*self._listed(key, window)]
        if not listed:
            return None
        addressee = self._addressee(key, listed[0])
        content = self._summary(window, addressee, count if len(listed) == _LISTED else len(listed), listed)
        mail = self._post.message(addressee, f"summary.{window.day}", content, now)
        journal.record(MailStep.SENDING, addressee, window.since, now)
        step, reply = self._post.send(addressee, mail, now)
        journal.record(step, addressee, window.since, now, reply)
        if step is MailStep.REFUSED and self._left is not None:
            self._left[key] = count
        return Mailed("summary", window.day, addressee, step, reply)

    def _listed(self, key: AddresseeKey, window: Window) -> Iterator[Standing]:
        """The newest entries of a summary."""
        count = 0
        for row in self._rows(_within(window)._replace(recipient="" if key.administrator else key.address)):
            if key not in self._keys(row):
                continue
            try:
                yield self._store.files.read(row.id)
            except EntryError:  # deleted meanwhile
                continue
            count += 1
            if count == _LISTED:
                return

    def _addressee(self, key: AddresseeKey, standing: Standing) -> Addressee:
        """The address behind a key, as the settings or RCPT have it."""
        addresses = self._mails.administrators if key.administrator else standing.entry.recipients
        return Addressee(next(one for one in addresses if address_key(one) == key.address), key.administrator)

    def _summary(self, window: Window, addressee: Addressee, total: int, listed: list[Standing]) -> Summary:
        return Summary(
            host=self._mails.sender.host,
            administrator=addressee.administrator,
            since=local_minute(window.since),
            until=local_minute(window.until),
            zone=zone(window.until),
            total=total,
            messages=tuple(self._shown(one, addressee) for one in listed),
            areas=tuple(self._areas(window)) if addressee.administrator else (),
        )

    def _shown(self, standing: Standing, addressee: Addressee) -> Shown:
        entry = standing.entry
        max_age = self._mails.areas[entry.area].max_age
        if addressee.administrator:
            return shown_message(standing, max_age)
        own = next(one for one in entry.recipients if address_key(one) == addressee.key.address)
        return shown_message(standing, max_age, own)

    def _areas(self, window: Window) -> Iterator[AreaShown]:
        totals = {one.area: one for one in self._store.totals()}
        for name, stored in sorted(self._stored(_within(window)).items()):
            if total := totals.get(name):
                oldest = local_minute(total.oldest).partition(" ")[0]
                yield AreaShown(shown_text(name), stored, total.entries, shown_size(total.bytes), oldest)


def _within(window: Window) -> Selection:
    return Selection(newer_than=window.since, older_than=window.until)
