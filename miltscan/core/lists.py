"""Allow and deny lists: what an entry is, its line in the file of the lists, which entry applies, and what it changes.

Order: deny, allow, then the policy. A deny entry refuses a message. An allow entry changes only the verdict that it
names: a detection, by its signature, by the digest of the message or by the sender. It never changes a failure or a
limit of an engine. Pure; `scanning.listfile` reads and writes the file.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from miltscan.core.address import Network
from miltscan.core.message import Envelope, Message
from miltscan.core.patterns import address_keys
from miltscan.core.verdict import Outcome, Verdict

HEURISTICS = "Heuristics."
"""What clamd only suspects. With `HeuristicScanPrecedence no` it reports this only if it found nothing else anywhere in
the message (clamd.conf(5)), so a message with an allowed one was scanned completely."""
DIGEST = re.compile("[0-9a-f]{64}")
LIST_ID = re.compile("[0-9a-hjkmnp-tv-z]{8}")
"""The ID of an entry: 40 random bits in Crockford's base 32, in lower case."""


class ListName(StrEnum):
    """The two lists; a metric label."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One entry: what it names, where it applies, and who added it, when and why.

    It names a `signature` (exactly), a `digest` (SHA-256 in hexadecimal), a `sender`, or several of them; all must
    match. `sender` and `recipient` are a pattern of addresses (`patterns.pattern`), "" for any. Times are in seconds of
    the epoch; `until` is None where the entry does not expire.
    """

    id: str
    list: ListName
    added: float
    by: str
    reason: str
    signature: str = ""
    digest: str = ""
    sender: str = ""
    recipient: str = ""
    client: Network | None = None
    authenticated: bool = False
    until: float | None = None

    @property
    def exempts_viruses(self) -> bool:
        """Whether it is about more than a sender, which anyone can forge."""
        return bool(self.signature or self.digest or self.client or self.authenticated)

    def is_in_force(self, now: float) -> bool:
        """Whether it has not expired."""
        return self.until is None or now < self.until

    def fits(self, message: Message) -> bool:
        """Whether sender, client, authentication and every recipient of the message match."""
        envelope = message.envelope
        if self.authenticated and not envelope.authenticated:
            return False
        if self.sender and self.sender not in sender_keys(envelope):
            return False
        if self.client and not _is_in(message.client.address, self.client):
            return False
        if not self.recipient:
            return True
        # without this test an entry for a recipient would match a message whose recipients are not known yet
        return bool(envelope.recipients) and all(self.recipient in address_keys(one) for one in envelope.recipients)


def sender_keys(envelope: Envelope) -> tuple[str, ...]:
    """The patterns that match the sender."""
    return address_keys(envelope.sender)


def _is_in(address: str, network: Network) -> bool:
    try:
        client = ipaddress.ip_address(address.lower().removeprefix("ipv6:"))
    except ValueError:  # a program on this host, or unknown
        return False
    mapped = client.ipv4_mapped if isinstance(client, ipaddress.IPv6Address) else None
    return (mapped or client) in network


@dataclass(frozen=True)
class Lists:
    """The entries of the file that were not removed. `broken` are the numbers of lines that could not be read."""

    entries: tuple[ListEntry, ...] = ()
    broken: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.entries)

    @cached_property
    def _found(self) -> Mapping[tuple[ListName, str], Sequence[ListEntry]]:
        """The entries of a list by what they name first: signature, digest or sender."""
        index: dict[tuple[ListName, str], list[ListEntry]] = {}
        for one in self.entries:
            index.setdefault((one.list, one.signature or one.digest or one.sender), []).append(one)
        return index

    @cached_property
    def with_digest(self) -> frozenset[ListName]:
        """The lists that name a digest, so that it must be known for each message."""
        return frozenset(one.list for one in self.entries if one.digest)

    def find(self, name: ListName, keys: Iterable[str]) -> Iterator[ListEntry]:
        """The entries of a list that name first one of these."""
        for key in keys:
            yield from self._found.get((name, key), ())


@dataclass
class Consultation:
    """The lists, asked about one message at `now`; `hashed` returns its digest, and is called only if that matters.

    At the delivery side (`at_delivery`) client, recipients and authentication are those of the incoming sendmail: only
    entries with a signature apply there, and none that names those.
    """

    lists: Lists
    message: Message
    now: float
    hashed: Callable[[], str]
    at_delivery: bool = False
    _digest: str | None = field(default=None, init=False)

    def allowed(self, verdict: Verdict) -> Verdict:
        """The verdict after the allow list: unchanged unless an entry names what was found."""
        if verdict.outcome is not Outcome.INFECTED:
            return verdict
        name = verdict.signature or ""
        for entry in self._matching(ListName.ALLOW, (name,)):
            if entry.exempts_viruses or name.startswith(HEURISTICS):
                return verdict.allowed_by(entry.id, complete=name.startswith(HEURISTICS))
        return verdict

    def denied(self, verdicts: Iterable[Verdict]) -> ListEntry | None:
        """The deny entry that refuses the message, whose verdicts these are."""
        signatures = [one.signature for one in verdicts if one.signature]
        return next(self._matching(ListName.DENY, signatures), None)

    def _matching(self, name: ListName, signatures: Sequence[str]) -> Iterator[ListEntry]:
        """The entries of a list that apply to the message with one of these detections."""
        digest = (self._whole(),) if name in self.lists.with_digest else ()
        for one in self.lists.find(name, (*signatures, *digest, *sender_keys(self.message.envelope))):
            if one.signature and one.signature not in signatures:
                continue  # the key of another kind that reads like a signature
            if (one.digest and one.digest not in digest) or not one.is_in_force(self.now):
                continue
            if self.at_delivery and (not one.signature or one.recipient or one.client or one.authenticated):
                continue
            if one.fits(self.message):
                yield one

    def _whole(self) -> str:
        """The digest of the message; that of an incomplete one is unknown."""
        if self._digest is None:
            self._digest = "" if self.message.settled else self.hashed()
        return self._digest


def described(entry: ListEntry) -> str:
    """What an entry names, for a person."""
    parts = (
        entry.signature and f"signature {entry.signature}",
        entry.digest and f"sha256 {entry.digest}",
        entry.sender and f"sender {entry.sender}",
        entry.recipient and f"for {entry.recipient}",
        entry.client and f"client {entry.client}",
        entry.authenticated and "authenticated",
    )
    return ", ".join(str(one) for one in parts if one)
