"""An entry of the quarantine: one message, its envelope, what was found in it, and what has happened to it since.

Everything here is a value; `record` converts it to the bytes of files, `files` reads and writes these. What happened is
a list of events, and the state of each recipient follows from it: nothing is ever overwritten.

The ID of an entry is 20 characters of Crockford's base 32 (in lower case: no i, l, o, u): 48 bits of the time in
milliseconds and 50 random bits. IDs sort by time, and the UTC day, which names the folder of an entry, follows from the
ID. IDs come from users, too: `is_entry_id` comes before any path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.action import ActionName
from miltscan.core.message import Direction
from miltscan.core.receipt import ReceiptResult
from miltscan.core.text import readable
from miltscan.core.verdict import Fault, Limit, Outcome


class State(StrEnum):
    """The state of an entry for one recipient."""

    STORED = "stored"
    CLEARED = "cleared"  # a rescan no longer found anything
    RELEASING = "releasing"
    RELEASED = "released"
    DELETED = "deleted"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.STORED: frozenset({State.CLEARED, State.RELEASING, State.DELETED}),
    State.CLEARED: frozenset({State.STORED, State.RELEASING, State.DELETED}),
    State.RELEASING: frozenset({State.STORED, State.CLEARED, State.RELEASED}),  # back where the release failed
    State.RELEASED: frozenset({State.RELEASING, State.DELETED}),
    State.DELETED: frozenset(),
}
"""The states that may follow each state. An event that would lead elsewhere changes nothing for that recipient."""
_WHOLE = (State.RELEASING, State.STORED, State.CLEARED, State.RELEASED, State.DELETED)
"""The state of the whole entry is the first of these that one of its recipients has."""


class Encoding(StrEnum):
    """The steps by which the message in a file was encoded, in their order."""

    ZSTD = "zstd"
    AGE = "age"


@dataclass(frozen=True, slots=True)
class Entry:
    """One message in the quarantine, as it was when stored.

    `time` is that of the decision (epoch, seconds). `size` (bytes) and `digest` (SHA-256, hex) are of the message as
    received; `kept_size` and `kept_digest` of its encoded form in the file: whoever has no identity can check these.
    `Files.put` sets `id`, these four and `encoding`. `subject` and `author` are the decoded Subject: and From: fields,
    bounded and readable. `signatures` is the version of the signature database of the scan, 0 if unknown. `receipt` is
    the result of its check, None for a message that the incoming side stored.
    """

    time: float
    area: str
    action: ActionName
    queue_id: str
    message_id: bytes
    sender: bytes
    recipients: tuple[bytes, ...]
    client_name: str
    client_address: str
    direction: Direction
    outcome: Outcome
    reason: Limit | Fault | None = None
    signature: str | None = None
    engine: str = ""
    rule: str = ""
    signatures: int = 0
    subject: str = ""
    author: str = ""
    receipt: ReceiptResult | None = None
    id: str = ""
    size: int = 0
    digest: str = ""
    encoding: tuple[Encoding, ...] = ()
    kept_size: int = 0
    kept_digest: str = ""


class Event(NamedTuple):
    """Something that happened to an entry at `time` (epoch, seconds), by `by` (`keeper` or a login name).

    `recipients` are those whose state becomes `state`, all if empty; None as `state` changes none. `to` is the other
    address of a release, `queue_id` and `reply` are those of the delivery sendmail. `outcome`, `signature` and
    `signatures` are the result of a rescan. `notice` tells that a notice or summary with this entry was sent.
    """

    time: float
    by: str
    state: State | None = None
    recipients: tuple[bytes, ...] = ()
    to: bytes = b""
    queue_id: str = ""
    reply: str = ""
    reason: str = ""
    outcome: Outcome | None = None
    signature: str | None = None
    signatures: int = 0
    notice: str = ""


class Standing(NamedTuple):
    """An entry and its events, oldest first."""

    entry: Entry
    events: tuple[Event, ...] = ()

    @property
    def states(self) -> dict[bytes, State]:
        """The state for each recipient, in the order of the envelope."""
        states = dict.fromkeys(self.entry.recipients, State.STORED)
        for event in self.events:
            if event.state is None or event.to:
                continue
            for recipient in event.recipients or self.entry.recipients:
                if recipient in states and event.state in TRANSITIONS[states[recipient]]:
                    states[recipient] = event.state
        return states

    @property
    def state(self) -> State:
        """The state of the whole: the one with the most left to do."""
        states = set(self.states.values())
        return next((state for state in _WHOLE if state in states), State.STORED)

    @property
    def scan(self) -> tuple[Outcome, str | None, int]:
        """Outcome, signature and version of the signature database of the last scan."""
        rescans = (event for event in reversed(self.events) if event.outcome is not None)
        last = next(rescans, None)
        if last is None or last.outcome is None:
            return self.entry.outcome, self.entry.signature, self.entry.signatures
        return last.outcome, last.signature, last.signatures


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_DIGITS = frozenset(_ALPHABET)
LENGTH = 20
"""Characters of an ID."""
_TIME, _RANDOM = 10, 10  # characters
_LATEST = 253_402_300_799_999  # ms: the end of the year 9999, the last with a date


def new_id(now: float, random: bytes) -> str:
    """The ID of an entry at `now` (epoch, seconds); of `random` the first 50 bits count: 7 bytes."""
    return _base32(int(now * 1000), _TIME) + _base32(int.from_bytes(random[:7], "big") >> 6, _RANDOM)


def _base32(number: int, length: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (length - 1), -1, -5))


def time_of(entry_id: str) -> float:
    """The time in an ID (epoch, seconds)."""
    return _milliseconds(entry_id) / 1000


def day_of(entry_id: str) -> str:
    """The UTC day of an ID as YYYY-MM-DD."""
    return datetime.fromtimestamp(time_of(entry_id), UTC).date().isoformat()


def first_id(now: float) -> str:
    """The lowest ID of that time: entries stored since then have this ID or a higher one."""
    return _base32(max(0, min(int(now * 1000), _LATEST)), _TIME) + "0" * _RANDOM


def _milliseconds(entry_id: str) -> int:
    number = 0
    for character in entry_id[:_TIME]:
        number = number << 5 | _VALUES[character]
    return number


def is_prefix(text: str) -> bool:
    """Whether an ID can begin with `text`."""
    return 0 < len(text) <= LENGTH and _DIGITS.issuperset(text)


def is_entry_id(text: str) -> bool:
    """Whether `text` is an ID, of a day that has a date."""
    return len(text) == LENGTH and is_prefix(text) and _milliseconds(text) <= _LATEST


def shown_address(data: bytes) -> str:
    """An address of the envelope for a reader: cleaned, without angle brackets; empty for the null sender."""
    return readable(data.strip().removeprefix(b"<").removesuffix(b">"))
