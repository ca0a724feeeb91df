"""A pipeline in which recipients of one message may have different decisions: it carries `core.split.plan` out.

Everything is stored and handed over before the MTA receives its answer, and any failure is a tempfail for all: the
client keeps the message. What was done before the failure is remembered, so its retry does not do it again.
"""

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import partial

from miltscan.config.settings import COPY_WAIT
from miltscan.core.action import REFUSED_AREA, Copy, Hold, Redirect
from miltscan.core.edits import edited
from miltscan.core.message import Message
from miltscan.core.policy import not_handed_over, not_kept
from miltscan.core.released import received_field
from miltscan.core.report import Copies, Group, Kept, Report
from miltscan.core.split import Plan, RecipientMode, Share, plan
from miltscan.engines.base import Tick
from miltscan.errors import HandoverError, StoreError
from miltscan.quarantine.ledger import CopyLedger, LedgerPage
from miltscan.scanning.background import WorkBounds, in_background
from miltscan.scanning.copies import AT_ONCE, CopyResult, CopySender, OutgoingCopy, SpooledMessage, recipient_arguments
from miltscan.scanning.pipeline import Processor
from miltscan.scanning.receipts import is_whole
from miltscan.scanning.storing import Keep, content_of

_TICK = 1.0  # seconds between two progress messages to the MTA
_MESSAGES = 64  # at the same time; a delivery sendmail that hangs must not collect threads without end
_places = threading.BoundedSemaphore(_MESSAGES)
_NEVER = (b"NOTIFY=NEVER",)  # the sender learns nothing of a copy that is not for the recipient


@dataclass(frozen=True, slots=True)
class Splitting:
    """What `processor` decides for groups of recipients is stored by `keep`, and handed over by `sender` of `host`.

    `ledger` remembers it for a retry. `patience` in seconds is the time for a message from its EOM to the answer;
    there are at least `COPY_WAIT` for this.
    """

    processor: Processor
    mode: RecipientMode
    keep: Keep
    ledger: CopyLedger
    sender: CopySender
    host: str
    patience: float

    def process(self, message: Message, tick: Tick) -> Report:
        """As the processor's."""
        report = self.processor.process(message, tick)
        groups = report.groups
        if not groups:
            if not isinstance(report.decision.action, Redirect | Copy):
                return report
            groups = (Group((*range(len(message.envelope.recipients)),), report.decision),)
        made = plan(self.mode, message.envelope, groups, whole=is_whole(message))
        report = report._replace(decision=made.decision, groups=())
        return self._carried_out(report, made, tick) if made.shares else report

    def _carried_out(self, report: Report, made: Plan, tick: Tick) -> Report:
        began = time.monotonic()
        until = began + max(COPY_WAIT, self.patience - report.seconds)
        try:
            groups, results = self._wait(report, made, until, tick)
        except (StoreError, HandoverError) as problem:
            seconds = time.monotonic() - began
            queue_id, why = report.message.queue_id, str(problem)
            report = report._replace(seconds=report.seconds + seconds)
            if isinstance(problem, HandoverError):
                return report._replace(decision=not_handed_over(queue_id), copies=Copies(0, 0, seconds, why))
            return report._replace(decision=not_kept(queue_id), kept=Kept(REFUSED_AREA, "", seconds, why))
        seconds = time.monotonic() - began
        refused = sum(bool(one.refusal) for one in results)
        handed = Copies(len(results) - refused, refused, seconds) if results else None
        return report._replace(groups=groups, copies=handed, seconds=report.seconds + seconds)

    def _wait(self, report: Report, made: Plan, until: float, tick: Tick) -> tuple[tuple[Group, ...], list[CopyResult]]:
        """Carry the plan out in a thread. Where this gives up, no further copy is begun."""
        content, given_up = content_of(report.message), threading.Event()
        bounds = WorkBounds(
            _places,
            until,
            _TICK,
            HandoverError(f"copies: {_MESSAGES} messages already wait for the delivery sendmail"),
            HandoverError("copies: the delivery sendmail or the disk takes too long"),
        )
        work = partial(self._work, report, made, content, until, given_up)
        try:
            return in_background(work, bounds, tick, partial(os.close, content))
        except BaseException:
            given_up.set()
            raise

    def _work(
        self, report: Report, made: Plan, content: int, until: float, given_up: threading.Event
    ) -> tuple[tuple[Group, ...], list[CopyResult]]:
        """Runs in the thread: offer the first copies, store, send; then the other copies. Raises what fails."""

        def check() -> None:
            if given_up.is_set():
                raise HandoverError("copies: the MTA has gone, or its time is over")

        spooled, sender = SpooledMessage(report.message, content), report.message.envelope.sender
        with self.ledger.page(spooled.digest, sender) as page:
            kept, results = _Kept(self.keep, report, content, page), list[CopyResult]()
            copies = [*_copies(report.message, made, self.host)]
            for first in range(0, max(1, len(copies)), AT_ONCE):
                with self.sender.offered(spooled, copies[first : first + AT_ONCE], page, until) as offer:
                    check()
                    kept.store_areas(made.shares)
                    results += offer.send(check)
            groups = (*_groups(made, {one.address: one for one in results}, kept),)
            if not any(name.lower() == b"message-id" for name, _ in report.message.headers):
                page.forget()  # nothing but a Message-ID tells a retry from another message with the same bytes
        return groups, results


@dataclass(slots=True)
class _Kept:
    """Stores the message for some recipients, once for each area and set of recipients."""

    keep: Keep
    report: Report
    content: int
    page: LedgerPage
    entries: dict[tuple[str, tuple[bytes, ...]], Kept] = field(default_factory=dict)

    def store_areas(self, shares: Iterable[Share]) -> None:
        """Store what the plan keeps in an area. Raises StoreError."""
        for share in shares:
            if share.area:
                self.store(share, share.area, _addresses(self.report.message, share.group))

    def store(self, share: Share, area: str, addresses: tuple[bytes, ...]) -> Kept:
        """The entry for these addresses, which may have been stored before a retry. Raises StoreError."""
        if (area, addresses) in self.entries:
            return self.entries[area, addresses]
        began, entry = time.monotonic(), self.page.entry(area, addresses)
        if entry is None:
            message = self.report.message
            envelope = message.envelope._replace(recipients=addresses)
            group = share.group
            theirs = self.report._replace(
                message=message._replace(envelope=envelope),
                decision=group.decision,
                verdict=group.verdict or self.report.verdict,
            )
            entry = self.keep(theirs, area, self.content)
            self.page.kept(area, addresses, entry)
        kept = Kept(area, entry, time.monotonic() - began)
        self.entries[area, addresses] = kept
        return kept


def _addresses(message: Message, group: Group) -> tuple[bytes, ...]:
    return tuple(message.envelope.recipients[one] for one in group.recipients)


def _copies(message: Message, made: Plan, host: str) -> Iterator[OutgoingCopy]:
    """The copies of the plan: an address has one, and none if it stays in the message."""
    held = isinstance(made.decision.action, Hold)
    staying = [share.group for share in made.shares if share.stays and not held]
    seen = {address for group in staying for address in _addresses(message, group)}
    received = received_field(message.client, message.queue_id, host, "copy", formatdate(localtime=True))
    for share in made.shares:
        addresses = tuple(one for one in dict.fromkeys(share.to) if one not in seen)
        seen.update(addresses)
        if addresses:
            headers = [received, *edited(message.headers, share.group.decision.edits)]
            arguments = _arguments(message, share, addresses)
            yield OutgoingCopy(headers, addresses, arguments)


def _arguments(message: Message, share: Share, addresses: Sequence[bytes]) -> tuple[tuple[bytes, ...], ...]:
    """A recipient keeps the arguments of its RCPT."""
    destinations = message.envelope.destinations
    own = {message.envelope.recipients[one]: destinations[one] for one in share.group.recipients if destinations}
    others = _NEVER if isinstance(share.group.decision.action, Copy) else ()
    return tuple(recipient_arguments(own[one].arguments) if one in own else others for one in addresses)


def _groups(made: Plan, results: dict[bytes, CopyResult], kept: _Kept) -> Iterator[Group]:
    """The groups with what was done for them; what the delivery sendmail refused is stored. Raises StoreError."""
    message = kept.report.message
    for share in made.shares:
        group, mine = share.group, [results[one] for one in dict.fromkeys(share.to) if one in results]
        refused = {one.address: one.refusal for one in mine if one.refusal}
        queue_id = next((one.queue_id for one in mine if one.queue_id), "")
        if share.area:
            yield group._replace(kept=kept.store(share, share.area, _addresses(message, group)))
            continue
        if not refused:
            yield group._replace(queue_id=queue_id)
            continue
        entry, why = kept.store(share, REFUSED_AREA, tuple(refused)), next(iter(refused.values()))
        theirs = tuple(one for one in group.recipients if message.envelope.recipients[one] in refused)
        others = tuple(one for one in group.recipients if one not in theirs)
        if not theirs or share.stays or isinstance(group.decision.action, Redirect):  # an address of the rule
            yield group._replace(queue_id=queue_id, kept=entry, refusal=why)
            continue
        yield group._replace(recipients=theirs, kept=entry, refusal=why)
        if others:
            yield group._replace(recipients=others, queue_id=queue_id)
