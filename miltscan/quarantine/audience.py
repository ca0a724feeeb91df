"""Who is to be told about messages in the quarantine, and what has been sent already; pure.

A mail is sent at most once: that it will be sent is on disk before it is (`MailStep.SENDING`), and only a certain
refusal leads to another attempt. Whatever was interrupted after that stays unrepeated, as it may have arrived.

- Recipients are told of mail that came to this host's domains, never of mail that leaves: its recipients are strangers.
- Nobody is told at once of a message from the empty sender. It may be one of ours, and would lead to the next one.
- The sender of a message is told nothing.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.message import Direction
from miltscan.core.text import readable
from miltscan.quarantine.entry import Entry, Event, Standing, State

HORIZON = 3600.0
"""Seconds after which a message is old news: a notice that could not be sent by then is left to the summary."""
_FIRST_PAUSE, _LONGEST_PAUSE = 300.0, 3600.0  # seconds between two attempts, doubled each time
INCOMING = (Direction.INBOUND, Direction.INTERNAL)
"""The directions of mail to recipients of this host; those of other mail are strangers."""
_WAITING = (State.STORED, State.CLEARED)
_EMPTY_SENDERS = (b"", b"<>")


class MailStep(StrEnum):
    """What is known of a mail; the words of the files."""

    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    DOUBTFUL = "doubtful"  # no reply to the message, which may have arrived
    DROPPED = "dropped"  # a notice that could not be sent while it was news; in no file


class Told(NamedTuple):
    """Who receives mails of an area, as the settings `notice` and `summary` name them: none, recipients, ... both."""

    recipients: bool
    administrators: bool

    @classmethod
    def of(cls, word: str) -> "Told":
        """The meaning of a setting."""
        return cls(word in {"recipients", "both"}, word in {"administrators", "both"})


class AreaMails(NamedTuple):
    """The settings of an area: who receives notices and summaries, and the age at which its messages are deleted."""

    notice: Told
    summary: Told
    max_age: float


class AddresseeKey(NamedTuple):
    """What identifies someone who receives mails."""

    administrator: bool
    address: str


class Addressee(NamedTuple):
    """Someone who receives a mail, as administrator or as recipient."""

    address: bytes
    administrator: bool

    @property
    def key(self) -> AddresseeKey:
        """What identifies the addressee."""
        return AddresseeKey(self.administrator, address_key(self.address))


def address_key(address: bytes) -> str:
    """Equal for two spellings of one address, and what the index finds it by: no host distinguishes them by case."""
    return readable(address.strip().removeprefix(b"<").removesuffix(b">")).lower()


class Attempt(NamedTuple):
    """The last step of a mail, its time (epoch, seconds), and how often it was tried."""

    step: MailStep
    time: float
    tries: int

    @property
    def again(self) -> float | None:
        """When the mail may be tried again; None if never."""
        if self.step is not MailStep.REFUSED:
            return None
        return self.time + min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self.tries - 1, 10))


def stepped(before: Attempt | None, step: MailStep, time: float) -> Attempt:
    """The attempt after another step."""
    tries = before.tries if before else 0
    return Attempt(step, time, tries + (step is MailStep.SENDING))


def event(step: MailStep, addressee: Addressee, now: float, reply: str = "") -> Event:
    """The event in an entry's state file that a notice has come to this step."""
    if addressee.administrator:
        return Event(now, "keeper", to=addressee.address, notice=step, reply=reply)
    return Event(now, "keeper", recipients=(addressee.address,), notice=step, reply=reply)


def attempts(events: Iterable[Event]) -> dict[AddresseeKey, Attempt]:
    """The notices that events of an entry record. Events that cannot be read count as sent: never twice."""
    found = dict[AddresseeKey, Attempt]()
    for one in events:
        if not one.notice:
            continue
        step = MailStep(one.notice) if one.notice in set(MailStep) else MailStep.SENT
        addressees = (
            [Addressee(one.to, administrator=True)]
            if one.to
            else [Addressee(to, administrator=False) for to in one.recipients]
        )
        for addressee in addressees:
            found[addressee.key] = stepped(found.get(addressee.key), step, one.time)
    return found


def addressees(entry: Entry, told: Told, administrators: Collection[bytes]) -> list[Addressee]:
    """Whom mails about this entry go to, each once."""
    recipients = entry.recipients if told.recipients and entry.direction in INCOMING else ()
    found = [Addressee(address, administrator=True) for address in administrators if told.administrators]
    found += [Addressee(address, administrator=False) for address in recipients]
    return [*{addressee.key: addressee for addressee in found[::-1]}.values()][::-1]


def open_notices(standing: Standing, told: Told, administrators: Collection[bytes]) -> dict[Addressee, float]:
    """The notices that are not sent, with the time from which on each may be (epoch, seconds)."""
    entry = standing.entry
    if entry.sender in _EMPTY_SENDERS:
        return {}
    states, before, found = standing.states, attempts(standing.events), dict[Addressee, float]()
    for addressee in addressees(entry, told, administrators):
        state = standing.state if addressee.administrator else states[addressee.address]
        attempt = before.get(addressee.key)
        again = entry.time if attempt is None else attempt.again
        if state in _WAITING and again is not None:
            found[addressee] = again
    return found
