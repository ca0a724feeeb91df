"""Hands copies of a message over to the delivery sendmail: all are offered before the first one is sent.

    offer      one connection for each copy: MAIL and every RCPT
    begun      on disk, before the first byte of the message
    send       DATA and the message
    sent       on disk; a retry of the client sends no second copy

A recipient that the delivery sendmail refuses for good (5xx) delays no other one: its mail is stored in the quarantine.
Any other failure is a tempfail for all. A copy that may have arrived is sent once more; if it may have arrived again,
the mail is stored as if it had been refused, so that no recipient receives a copy for each retry.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from miltscan.core.edits import Header
from miltscan.core.message import PREFACE, Message
from miltscan.core.probe import Stage
from miltscan.core.released import as_head
from miltscan.core.session import head
from miltscan.core.text import readable
from miltscan.errors import HandoverError
from miltscan.quarantine.ledger import LedgerPage
from miltscan.sandwich.logline import accepted_as
from miltscan.sandwich.transfer import Sent, ServerReply, Transaction, Transfer, crlf

AT_ONCE = 16
"""Copies that are offered at the same time, a connection each."""
_CHUNK = 2**16  # bytes
_DOUBTS = 2  # copies of which it is unknown whether they arrived
_OF_MAIL = (b"RET", b"ENVID")
_OF_RCPT = (b"NOTIFY", b"ORCPT")
_PRINTABLE = frozenset(range(33, 127))


class OutgoingCopy(NamedTuple):
    """A copy: its header fields, and the addresses that receive it, each with the ESMTP arguments of its RCPT."""

    headers: Sequence[Header]
    addresses: tuple[bytes, ...]
    arguments: tuple[tuple[bytes, ...], ...]


class CopyResult(NamedTuple):
    """The result for an address: the queue ID of the delivery sendmail, or the reply by which it refused the copy."""

    address: bytes
    queue_id: str = ""
    refusal: str = ""


class SpooledMessage:
    """The message behind a descriptor, read once for what has to be known before its body is sent.

    `digest` is SHA-256 of all of it as received, `size` (bytes) that of its body with CRLF line ends.
    """

    def __init__(self, message: Message, descriptor: int) -> None:
        self.envelope = message.envelope
        self._descriptor = descriptor
        self._body = len(head([*message.headers]))
        whole = sha256()
        for chunk in self._chunks(len(PREFACE)):
            whole.update(chunk)
        self.digest = whole.digest()
        self.size, self.is_ascii = 0, True
        for chunk in self.body():
            self.size += len(chunk)
            self.is_ascii = self.is_ascii and chunk.isascii()

    def body(self) -> Iterator[bytes]:
        """The body with CRLF line ends. Raises OSError."""
        return crlf(self._chunks(self._body)) if self._has_body() else iter(())

    def _has_body(self) -> bool:
        return os.fstat(self._descriptor).st_size > self._body

    def _chunks(self, offset: int) -> Iterator[bytes]:
        while chunk := os.pread(self._descriptor, _CHUNK, offset):
            yield chunk
            offset += len(chunk)


@dataclass(frozen=True, slots=True)
class CopySender:
    """Sends copies to `server` (host and port), with up to `timeout` seconds for each reply."""

    server: tuple[str, int]
    timeout: float

    @contextmanager
    def offered(
        self, message: SpooledMessage, copies: Iterable[OutgoingCopy], page: LedgerPage, until: float
    ) -> Iterator["Offer"]:
        """Offer the copies that the delivery sendmail does not have yet; none after `until` (time.monotonic seconds).

        Raises HandoverError unless it accepts or refuses each of their recipients.
        """
        offer = Offer(page)
        with ExitStack() as stack:
            for copy in copies:
                waiting = offer.settle(copy)
                if waiting is None:
                    continue
                if time.monotonic() > until:
                    raise HandoverError("copies: the delivery sendmail takes too long")
                # its whole time limit: a late reply is known to the retry, a lost one means a second copy
                transaction = Transaction(self.server, _transfer(message, waiting), self.timeout)
                stack.callback(transaction.close)
                offer.add(waiting.addresses, transaction, transaction.offer())
            yield offer


class Offer:
    """Copies whose recipients the delivery sendmail has accepted; `results` are those that need nothing more."""

    def __init__(self, page: LedgerPage) -> None:
        self._page = page
        self._transactions: list[tuple[tuple[bytes, ...], Transaction]] = []
        self.results: list[CopyResult] = []

    def settle(self, copy: OutgoingCopy) -> OutgoingCopy | None:
        """What is to be sent of a copy, by what was done for its addresses before; None if nothing is."""
        waiting = []
        for address, arguments in zip(copy.addresses, copy.arguments, strict=True):
            if (queue_id := self._page.queue_id(address)) is not None:
                self.results.append(CopyResult(address, queue_id))
            elif self._page.doubts(address) >= _DOUBTS:
                refusal = f"{_DOUBTS} copies were sent, and it is unknown whether they arrived"
                self.results.append(CopyResult(address, refusal=refusal))
            else:
                waiting.append((address, arguments))
        if not waiting:
            return None
        return copy._replace(addresses=tuple(one for one, _ in waiting), arguments=tuple(one for _, one in waiting))

    def add(self, addresses: tuple[bytes, ...], transaction: Transaction, sent: Sent) -> None:
        """An offer with the replies to it. Raises HandoverError."""
        if sent.stage is Stage.CONNECT and not sent.reply.accepted:  # of the server to this host, not to the message
            raise HandoverError(f"copies: {_line(sent.reply)}")
        accepted = self._sorted_out(addresses, sent)
        if accepted:
            self._transactions.append((accepted, transaction))

    def send(self, check: Callable[[], None]) -> list[CopyResult]:
        """Send all copies, and return the result for each address of the offer. Raises HandoverError, StoreError.

        `check` is called before each copy; what it raises ends the work.
        """
        for addresses, transaction in self._transactions:
            check()
            self._page.begin(addresses)
            sent = transaction.send()
            if transaction.doubtful:
                raise HandoverError(f"copies: {_line(sent.reply)}")
            if not sent.reply.accepted:
                self._page.not_sent(addresses)
                self._sorted_out(addresses, Sent((sent.reply,) * len(addresses), sent.reply, sent.stage, {}))
                continue
            queue_id = accepted_as(sent.reply.text) or ""
            self._page.sent(addresses, queue_id)
            self.results += [CopyResult(address, queue_id) for address in addresses]
        self._transactions = []
        return self.results

    def _sorted_out(self, addresses: tuple[bytes, ...], sent: Sent) -> tuple[bytes, ...]:
        """The addresses that are accepted; of the others the result is noted. Raises HandoverError."""
        pairs = [*zip(addresses, sent.replies, strict=True)]
        refused = [(address, reply) for address, reply in pairs if not reply.accepted]
        for _, reply in refused:
            if reply.code // 100 != 5:  # noqa: PLR2004 - 5yz is final, RFC 5321 section 4.2.1
                raise HandoverError(f"copies: {_line(reply)}")
        self.results += [CopyResult(address, refusal=_line(reply)) for address, reply in refused]
        return tuple(address for address, reply in pairs if reply.accepted)


def recipient_arguments(arguments: Iterable[bytes]) -> tuple[bytes, ...]:
    """Of the arguments of a RCPT those that a copy for this recipient has, too."""
    return _chosen(arguments, _OF_RCPT)


def _chosen(arguments: Iterable[bytes], keywords: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The arguments with these keywords; the MTA has checked them, but no other byte may get into a command."""
    return tuple(one for one in arguments if one.partition(b"=")[0].upper() in keywords and _PRINTABLE.issuperset(one))


def _transfer(message: SpooledMessage, copy: OutgoingCopy) -> Transfer:
    edited = b"".join(crlf([as_head(copy.headers)]))
    return Transfer(
        message.envelope.sender,
        copy.addresses,
        chain([edited], message.body()),
        len(edited) + message.size,
        not (edited.isascii() and message.is_ascii),
        _chosen(message.envelope.arguments, _OF_MAIL),
        copy.arguments,
    )


def _line(reply: ServerReply) -> str:
    return readable(" ".join(str(reply).split()), 500)
