"""The tables of the index, and the rows of an entry in them. The text in the tables is cleaned: it can be shown.

Every row can be made again from the files. Another format of the tables is dropped and made again.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text

from miltscan.core.text import readable
from miltscan.quarantine.entry import Entry, Standing, State, shown_address

FORMAT = "1"
METADATA = MetaData()
ENTRIES = Table(
    "quarantine_entries",
    METADATA,
    Column("id", String(20), primary_key=True),
    Column("time", Float(53), nullable=False),
    Column("area", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("events", Integer, nullable=False),  # in the state file, of which `state` is the result
    Column("changed", Float(53), nullable=False),
    Column("reply", Text, nullable=False),
    Column("queue_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("sender_key", Text, nullable=False),
    Column("sender_domain", Text, nullable=False),
    Column("client_name", Text, nullable=False),
    Column("client_address", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("disk", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("signature", Text),
    Column("signatures", Integer, nullable=False),
    Column("engine", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("duplicate_of", String(20)),
    Index("quarantine_entries_area", "area", "id", "disk"),
    Index("quarantine_entries_state", "state", "id"),
    Index("quarantine_entries_sender", "sender_key", "id"),
    Index("quarantine_entries_domain", "sender_domain", "id"),
    Index("quarantine_entries_digest", "digest", "id"),
    Index("quarantine_entries_duplicate", "duplicate_of"),
)
RECIPIENTS = Table(
    "quarantine_recipients",
    METADATA,
    Column("entry_id", String(20), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("address", Text, nullable=False),
    Column("address_key", Text, nullable=False),
    Column("domain", Text, nullable=False),
    Column("state", Text, nullable=False),
    Index("quarantine_recipients_address", "address_key", "entry_id"),
    Index("quarantine_recipients_domain", "domain", "entry_id"),
)
FACTS = Table(
    "quarantine_index",
    METADATA,
    Column("name", String(20), primary_key=True),
    Column("value", Text, nullable=False),
)
"""`format` is that of the tables; `complete` is there once all entries that had been stored before are in them."""
_LONGEST = 1000  # characters of a text


class RecipientRow(NamedTuple):
    """A recipient of a row, cleaned, and the state for it."""

    address: str
    state: State


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as the index shows it: all text is cleaned, addresses are without angle brackets.

    `outcome`, `signature` and `signatures` are those of the last scan. `changed` is the time of the last event and
    `reply` the last reply of the delivery sendmail, or the reason of the last event. `disk` is the size of the file.
    """

    id: str
    time: float
    area: str
    action: str
    state: State
    changed: float
    reply: str
    queue_id: str
    message_id: str
    sender: str
    recipients: tuple[RecipientRow, ...]
    client_name: str
    client_address: str
    direction: str
    size: int
    disk: int
    digest: str
    outcome: str
    reason: str | None
    signature: str | None
    signatures: int
    engine: str
    rule: str
    subject: str
    author: str
    duplicate_of: str | None


COLUMNS = tuple(ENTRIES.c[name] for name in Row.__slots__ if name != "recipients")


class Stored(NamedTuple):
    """What the index is made of: an entry with its events, and the bytes of its file."""

    standing: Standing
    disk: int


def entry_row(stored: Stored) -> dict[str, Any]:
    """The row of an entry, without `duplicate_of`."""
    (entry, events), disk = stored
    outcome, signature, signatures = stored.standing.scan
    last = events[-1] if events else None
    sender = shown_address(entry.sender)
    subject, author = readable(entry.subject, _LONGEST), readable(entry.author, _LONGEST)
    queue_id, message_id = readable(entry.queue_id, _LONGEST), readable(entry.message_id, _LONGEST)
    found = {readable(one, _LONGEST) for one in (entry.signature, signature) if one}
    return {
        "id": entry.id,
        "time": entry.time,
        "area": readable(entry.area, _LONGEST),
        "action": str(entry.action),
        "state": str(stored.standing.state),
        "events": len(events),
        "changed": last.time if last else entry.time,
        "reply": readable(last.reply or last.reason, _LONGEST) if last else "",
        "queue_id": queue_id,
        "message_id": message_id,
        "sender": sender,
        "sender_key": sender.lower(),
        "sender_domain": domain_of(sender),
        "client_name": readable(entry.client_name, _LONGEST),
        "client_address": readable(entry.client_address, _LONGEST),
        "direction": str(entry.direction),
        "size": entry.size,
        "disk": disk,
        "digest": readable(entry.digest, _LONGEST),
        "envelope": _envelope(entry),
        "outcome": str(outcome),
        "reason": None if entry.reason is None else str(entry.reason),
        "signature": None if signature is None else readable(signature, _LONGEST),
        "signatures": signatures,
        "engine": readable(entry.engine, _LONGEST),
        "rule": readable(entry.rule, _LONGEST),
        "subject": subject,
        "author": author,
        "words": "\n".join((subject, author, sender, queue_id, message_id, *found)).casefold(),
    }


def recipient_rows(standing: Standing) -> list[dict[str, Any]]:
    """The rows of its recipients."""
    return [
        {
            "entry_id": standing.entry.id,
            "position": position,
            "address": (shown := shown_address(recipient)),
            "address_key": shown.lower(),
            "domain": domain_of(shown),
            "state": str(state),
        }
        for position, (recipient, state) in enumerate(standing.states.items())
    ]


def domain_of(shown: str) -> str:
    """The domain of an address in lower case, empty without one."""
    return shown.rpartition("@")[2].lower() if "@" in shown else ""


def _envelope(entry: Entry) -> str:
    """What two messages with the same envelope have in common."""
    parts = (entry.sender, *sorted(set(entry.recipients)))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]
