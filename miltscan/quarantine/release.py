"""Releases entries: sends the message to its recipients through the delivery sendmail.

One SMTP transaction for the original sender and the recipients as RCPT gave them. Released is what the delivery
sendmail answered with its queue ID, and nothing else; every other recipient stays stored, with the reply.

    claim            one process at a time: the lock of the entry's file
    releasing        recorded before the first byte is sent
    transfer         the message as received; only its head is edited (core/released.py)
    released         recorded for each recipient with its queue ID; the others get their former state back

A process that dies before the last step leaves the state `releasing` and a free lock: the next release sends the
message again. Twice is better than never.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

from miltscan.core.edits import Header
from miltscan.core.keys import Key
from miltscan.core.message import Client
from miltscan.core.receipt import AcceptedBy, Claim, sign_receipt
from miltscan.core.released import Passport, as_head, head_and_body, parse_head, released
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome, Verdict
from miltscan.errors import EntryError, MiltscanError, StoreError
from miltscan.quarantine.entry import Entry, Event, Standing, State
from miltscan.quarantine.files import Files
from miltscan.sandwich.logline import accepted_as
from miltscan.sandwich.transfer import ServerReply, Transfer, crlf, transfer

_CHUNK = 2**16  # bytes
_SHOWN = 3  # addresses in an error
_UNKNOWN_USER = "5.1."  # RFC 3463 section 3.2: the address is the fault
_REMEDY = (
    "if only incoming's aliases or virtusertable know this address, build these tables for delivery, too, or use --to"
)


class Order(NamedTuple):
    """What is to be released, and for whom.

    `by` is a login name or `keeper`. `recipients` are addresses of the envelope, with or without angle brackets; none
    stands for all that wait. `to` is another address, which changes no state. `again` includes those that have the
    message, `infected` an infected message, for a `reason`.
    """

    by: str
    recipients: tuple[bytes, ...] = ()
    to: bytes = b""
    again: bool = False
    infected: bool = False
    reason: str = ""


class Delivery(NamedTuple):
    """The result for one recipient; `queue_id` is that of the delivery sendmail, empty if it does not have the mail."""

    recipient: bytes
    queue_id: str
    reply: str
    remedy: str = ""


class Release(NamedTuple):
    """The result for each recipient of an order."""

    entry: Entry
    order: Order
    deliveries: tuple[Delivery, ...]

    def by_reply(self) -> Mapping[tuple[str, str], list[bytes]]:
        """The recipients of each queue ID and reply."""
        groups: dict[tuple[str, str], list[bytes]] = {}
        for one in self.deliveries:
            groups.setdefault((one.queue_id, one.reply), []).append(one.recipient)
        return groups


@dataclass(frozen=True, slots=True)
class Releaser:
    """How messages leave the quarantine `files`: to `server` (host and port), with up to `timeout` s for each reply.

    `record` makes an event durable and visible (of the store, or of `files`). `host` and `scanned_by` are for the added
    headers, None where the site leaves headers alone. `key` signs receipts, None where no delivery side verifies them.
    `identities` are for encrypted entries.
    """

    files: Files
    record: Callable[[str, Event], object]
    server: tuple[str, int]
    timeout: float
    host: str
    scanned_by: str | None = None
    key: Key | None = None
    identities: Sequence[Any] = ()
    clock: Callable[[], float] = time.time

    def release(self, entry_id: str, order: Order) -> Release:
        """Send the message of this entry as ordered.

        Raises EntryError for what cannot be released, in one line: nothing was sent then, and no state changed. Raises
        StoreError where the files fail; its text names the queue ID of a message that was sent.
        """
        with self.files.claim(entry_id) as claimed:
            if not claimed:
                raise EntryError(f"entry {entry_id}: another process is releasing or deleting it. Try again later.")
            standing = self.files.read(entry_id)
            recipients = chosen(standing, order)
            with self.files.message(entry_id, self.identities) as message:
                return self._send(standing, order, recipients, message)

    def _send(self, standing: Standing, order: Order, recipients: tuple[bytes, ...], message: BinaryIO) -> Release:
        entry, before = standing.entry, _before(standing)
        mail = self._mail(standing, recipients, message)
        if not order.to:
            self.record(entry.id, Event(self.clock(), order.by, State.RELEASING, recipients, reason=order.reason))
        try:
            replies = transfer(self.server, mail, self.timeout).replies
        except MiltscanError as error:  # the file could not be read to its end: the server has nothing
            self._restore(entry, order, recipients, before, str(error))
            raise
        result = Release(entry, order, tuple(map(_delivery, recipients, replies)))
        try:
            for (queue_id, reply), group in result.by_reply().items():
                if order.to:
                    self._record_copy(entry, order, queue_id, reply)
                elif queue_id:
                    made = Event(self.clock(), order.by, State.RELEASED, tuple(group), reason=order.reason)
                    self.record(entry.id, made._replace(queue_id=queue_id, reply=reply))
                else:
                    self._restore(entry, order, group, before, reply)
        except StoreError as error:
            sent = ", ".join(sorted({one.queue_id for one in result.deliveries if one.queue_id})) or "no one"
            raise StoreError(f"entry {entry.id} was released as {sent}, but this was not recorded: {error}") from error
        return result

    def _restore(
        self, entry: Entry, order: Order, recipients: Sequence[bytes], before: Mapping[bytes, State], reply: str
    ) -> None:
        """Give recipients their former state back, with the reason why they do not have the message."""
        if order.to:
            self._record_copy(entry, order, "", reply)
            return
        for state in dict.fromkeys(before[one] for one in recipients):
            group = tuple(one for one in recipients if before[one] is state)
            self.record(entry.id, Event(self.clock(), order.by, state, group, reply=reply, reason=order.reason))

    def _record_copy(self, entry: Entry, order: Order, queue_id: str, reply: str) -> None:
        """The release to another address changes no state."""
        state = State.RELEASED if queue_id else None
        event = Event(self.clock(), order.by, state, (), order.to, queue_id, reply, order.reason)
        self.record(entry.id, event)

    def _mail(self, standing: Standing, recipients: tuple[bytes, ...], message: BinaryIO) -> Transfer:
        """Read the message once for what comes before it: size, receipt, and whether it has 8-bit bytes."""
        entry = standing.entry
        head, body = head_and_body(_lines(entry.id, message))
        digest, size, ascii_only = hashlib.sha256(), 0, head.isascii()
        for chunk in body:
            digest.update(chunk)
            size += len(chunk)
            ascii_only = ascii_only and chunk.isascii()
        sign = None if self.key is None else partial(self._receipt, self.key, standing, digest.digest())
        edited = as_head(released(parse_head(head), self._passport(standing), sign))
        _, again = head_and_body(_lines(entry.id, message))
        return Transfer(entry.sender, recipients, chain([edited], again), len(edited) + size, not ascii_only)

    def _receipt(self, key: Key, standing: Standing, body: bytes, headers: Sequence[Header]) -> str:
        outcome, _, signatures = standing.scan
        reason = standing.entry.reason if outcome is standing.entry.outcome else None
        claim = Claim(int(self.clock()), outcome, signatures, AcceptedBy.RELEASE, reason)
        return sign_receipt(key, claim, headers, body)

    def _passport(self, standing: Standing) -> Passport:
        entry, (outcome, signature, _) = standing.entry, standing.scan
        reason = entry.reason if outcome is entry.outcome else None
        verdict = Verdict(entry.engine, outcome, signature, reason)
        client, received = Client(entry.client_name, entry.client_address), formatdate(entry.time, localtime=True)
        return Passport(entry.id, verdict, client, entry.queue_id, self.host, received, self.scanned_by)


def chosen(standing: Standing, order: Order) -> tuple[bytes, ...]:
    """The addresses to send to, from the states and the order. Raises EntryError, whose text says what to do."""
    entry, states = standing.entry, standing.states
    if standing.state is State.DELETED:
        raise EntryError(f"entry {entry.id}: was deleted")
    named = _named(entry, order.recipients)
    waiting = {one for one in named or states if states[one] not in {State.RELEASED, State.DELETED}}
    done = [one for one in named or states if states[one] is State.RELEASED]
    if done and (named or not waiting) and not order.again and not order.to:
        raise EntryError(f"entry {entry.id}: was released to {_some(done)}. To send it again, use --again.")
    targets = [one for one in named or states if one in waiting or (order.again and states[one] is State.RELEASED)]
    outcome, signature, _ = standing.scan
    cleared = bool(targets) and all(states[one] is State.CLEARED for one in targets)
    if outcome is Outcome.INFECTED and not cleared and not (order.infected and order.reason):
        found = f"entry {entry.id}: is infected ({readable(signature or 'unnamed', 100)})"
        raise EntryError(f"{found}. To release it all the same, use --infected and --reason.")
    if order.to:
        return (order.to,)
    if not targets:
        raise EntryError(f"entry {entry.id}: has no recipient to release it to. Use --to.")
    return tuple(targets)


def _named(entry: Entry, asked: Sequence[bytes]) -> list[bytes]:
    """The recipients of the envelope that are asked for, each once; the case of an address does not count."""
    known, wanted = {_bare(one) for one in entry.recipients}, {_bare(one) for one in asked}
    if missing := [one for one in asked if _bare(one) not in known]:
        expected = _some(entry.recipients)
        raise EntryError(f"entry {entry.id}: has no recipient {_some(missing)}. Expected one of: {expected}")
    return [one for one in dict.fromkeys(entry.recipients) if _bare(one) in wanted]


def _bare(address: bytes) -> bytes:
    return address.removeprefix(b"<").removesuffix(b">").lower()


def _some(addresses: Sequence[bytes]) -> str:
    shown = ", ".join(readable(one, 100) for one in addresses[:_SHOWN])
    return f"{shown} and {len(addresses) - _SHOWN} others" if len(addresses) > _SHOWN else shown


def _before(standing: Standing) -> dict[bytes, State]:
    """The state of each recipient before a release that has no result, the present one or one whose process died."""
    states = dict.fromkeys(standing.entry.recipients, State.STORED)
    for event in standing.events:
        if event.state not in {None, State.RELEASING} and not event.to:
            changed = event.recipients or standing.entry.recipients
            states.update((one, State(event.state)) for one in changed if one in states)
    return states


def _delivery(recipient: bytes, reply: ServerReply) -> Delivery:
    text = readable(" ".join(str(reply).split()), 500)
    queue_id = (accepted_as(reply.text) or "") if reply.accepted else ""
    if queue_id:
        return Delivery(recipient, queue_id, text)
    if reply.accepted:
        text = f"{text} (without a queue ID: it may have the message or not)"
    unknown = reply.code // 100 == 5 and reply.text.startswith(_UNKNOWN_USER)  # noqa: PLR2004 - 5yz, RFC 5321
    return Delivery(recipient, "", text, _REMEDY if unknown else "")


def _lines(entry_id: str, message: BinaryIO) -> Iterator[bytes]:
    """The message from its begin, each line with CRLF; what fails is an EntryError."""
    message.seek(0)
    return crlf(_chunks(entry_id, message))


def _chunks(entry_id: str, message: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            chunk = message.read(_CHUNK)
        except OSError as error:
            raise EntryError(f"entry {entry_id}: the message cannot be read: {error.strerror}") from error
        if not chunk:
            return
        yield chunk
