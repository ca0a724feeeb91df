"""Allow and deny lists: what an entry is, its line in the file of the lists, which entry applies, and what it changes.

Order: deny, allow, rules, then the policy. A deny entry refuses a message. An allow entry changes only the verdict that
it names: a detection, by its signature, by the digest of the message or by the sender. It never changes a failure or a
limit of an engine. By digest or sender it spares the message the anti-spam engines, too. Where recipients of one
message have lists of their own, each is asked about alone. Pure; `scanning.listfile` reads and writes the file.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from functools import cached_property
from typing import NamedTuple

from miltscan.core.address import Network
from miltscan.core.message import Envelope, Message
from miltscan.core.patterns import address_keys
from miltscan.core.verdict import HEURISTICS, Outcome, Verdict

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

    @property
    def is_of_content(self) -> bool:
        """Whether it is about what an engine found, whoever sent that from where to whom."""
        return bool(self.signature) and not (self.recipient or self.client or self.authenticated)

    def is_in_force(self, now: float) -> bool:
        """Whether it has not expired."""
        return self.until is None or now < self.until

    def fits(self, message: Message) -> bool:
        """Whether sender, client and authentication of the message match."""
        envelope = message.envelope
        if self.authenticated and not envelope.authenticated:
            return False
        if self.sender and self.sender not in sender_keys(envelope):
            return False
        return not self.client or _is_in(message.client.address, self.client)

    def is_for(self, recipients: Sequence[bytes]) -> bool:
        """Whether all these recipients match; not if there are none, as those of a message may not be known yet."""
        return not self.recipient or (
            bool(recipients) and all(self.recipient in address_keys(one) for one in recipients)
        )


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

    @cached_property
    def _recipients(self) -> frozenset[str]:
        return frozenset(one.recipient for one in self.entries if one.recipient)

    def audience(self, recipient: bytes) -> frozenset[str]:
        """The patterns that match the recipient and that entries name: equal ones mean the same entries."""
        return self._recipients.intersection(address_keys(recipient)) if self._recipients else frozenset()

    def find(self, name: ListName, keys: Iterable[str]) -> Iterator[ListEntry]:
        """The entries of a list that name first one of these."""
        for key in keys:
            yield from self._found.get((name, key), ())


class ListScope(Enum):
    """For whom a list is asked about a message.

    WHOLE: an entry for a recipient applies if it names all recipients. EACH: each recipient has the entries that name
    it. DELIVERY: at the delivery side client, recipients and authentication are those of the incoming sendmail, so only
    entries with a signature apply, and none that names those.
    """

    WHOLE = auto()
    EACH = auto()
    DELIVERY = auto()


class ListStanding(NamedTuple):
    """What the lists make of a message for some of its recipients, by their positions in the envelope.

    `verdicts` are those of the engines that would be asked if these were all recipients, after the allow list. `denied`
    is the entry that refuses the message; `exempt` is the one by which the anti-spam engines are not asked.
    """

    positions: tuple[int, ...]
    verdicts: tuple[Verdict, ...]
    denied: ListEntry | None = None
    exempt: ListEntry | None = None


@dataclass
class Consultation:
    """The lists, asked about one message at `now`; `hashed` returns its digest, and is called only if that matters."""

    lists: Lists
    message: Message
    now: float
    hashed: Callable[[], str]
    scope: ListScope = ListScope.WHOLE
    _digest: str | None = field(default=None, init=False)

    @cached_property
    def _audiences(self) -> Sequence[tuple[int, ...]]:
        """The recipients of the message, together where the same entries name them."""
        recipients = self.message.envelope.recipients
        if self.scope is not ListScope.EACH or not recipients:
            return [(*range(len(recipients)),)]
        audiences: dict[frozenset[str], list[int]] = {}
        for position, recipient in enumerate(recipients):
            audiences.setdefault(self.lists.audience(recipient), []).append(position)
        return [(*one,) for one in audiences.values()]

    def passes(self, verdict: Verdict) -> bool:
        """Whether a message with this verdict may reach somebody, so that the next engine is to be asked."""
        return any(self._allowed(verdict, one).outcome is not Outcome.INFECTED for one in self._audiences)

    def standings(self, verdicts: Sequence[Verdict], *, filtered: bool) -> tuple[ListStanding, ...]:
        """What the lists make of a message with these verdicts, for each of its recipients.

        `filtered` means that anti-spam engines are to be asked after them.
        """
        found: dict[tuple[tuple[Verdict, ...], ListEntry | None, ListEntry | None], list[int]] = {}
        for audience in self._audiences:
            theirs = (*self._until_stopped(verdicts, audience),)
            signatures = [name for one in verdicts[: len(theirs)] for name in one.signatures]
            denied = next(self._matching(ListName.DENY, signatures, audience), None)
            exempt = next(self._matching(ListName.ALLOW, (), audience), None) if filtered else None
            found.setdefault((theirs, denied, exempt), []).extend(audience)
        return tuple(ListStanding((*sorted(positions),), *key) for key, positions in found.items())

    def _until_stopped(self, verdicts: Sequence[Verdict], audience: Sequence[int]) -> Iterator[Verdict]:
        """The verdicts until a detection stops the message, after which no engine would be asked."""
        for one in verdicts:
            verdict = self._allowed(one, audience)
            yield verdict
            if verdict.outcome is Outcome.INFECTED:
                return

    def _allowed(self, verdict: Verdict, audience: Sequence[int]) -> Verdict:
        """The verdict after the allow list: unchanged unless an entry names what was found."""
        if verdict.outcome is not Outcome.INFECTED:
            return verdict
        name = verdict.signature or ""
        for entry in self._matching(ListName.ALLOW, (name,), audience):
            if entry.exempts_viruses or name.startswith(HEURISTICS):
                return self._allowed(verdict.allowed_by(entry.id, complete=name.startswith(HEURISTICS)), audience)
        return verdict

    def _matching(self, name: ListName, signatures: Sequence[str], audience: Sequence[int]) -> Iterator[ListEntry]:
        """The entries of a list that apply to these recipients of the message with one of these detections."""
        digest = (self._whole(),) if name in self.lists.with_digest else ()
        envelope = self.message.envelope
        recipients = [envelope.recipients[one] for one in audience]
        for one in self.lists.find(name, (*signatures, *digest, *sender_keys(envelope))):
            if one.signature and one.signature not in signatures:
                continue  # the key of another kind that reads like a signature
            if (one.digest and one.digest not in digest) or not one.is_in_force(self.now):
                continue
            if self.scope is ListScope.DELIVERY and not one.is_of_content:
                continue
            if one.fits(self.message) and one.is_for(recipients):
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
