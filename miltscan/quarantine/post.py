"""Sends one notice or summary through the delivery sendmail, from the empty sender."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import time
from typing import NamedTuple

from miltscan.core.keys import Key
from miltscan.core.probe import Stage
from miltscan.core.receipt import RECEIPT_HEADER, AcceptedBy, Claim, sign_receipt
from miltscan.core.released import parse_head
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.quarantine.audience import Addressee, AreaMails, MailStep
from miltscan.quarantine.shown import MailContent
from miltscan.quarantine.templates import Sender, Templates, mail
from miltscan.sandwich.transfer import Transfer, transfer

_PAUSE = 60.0  # seconds without a mail where the server cannot be reached


class Mails(NamedTuple):
    """The settings of notices and summaries: `[notice]`, `[delivery]` (`server` is host and port) and the areas'.

    `templates` is a folder, empty for none; `timeout` is in seconds, for each reply.
    """

    areas: Mapping[str, AreaMails]
    administrators: tuple[bytes, ...]
    sender: Sender
    server: tuple[str, int]
    timeout: float
    summary_at: time
    max_per_hour: int
    templates: str = ""


class Mailed(NamedTuple):
    """A mail that was tried, and what it is `about`: the ID of an entry, the day of a summary, a digest."""

    kind: str
    about: str
    addressee: Addressee
    step: MailStep
    reply: str


class Post:
    """Sends mails. With a `key` each has a receipt, by which the delivery side passes it without a scan.

    `broken` is called with a line about each template of the site that cannot be used.
    """

    def __init__(self, mails: Mails, key: Key | None, broken: Callable[[str], None]) -> None:
        self._mails = mails
        self._key = key
        self._templates = Templates(mails.templates, broken)
        self._paused_until = 0.0

    def paused(self, now: float) -> bool:
        """Whether the server could not be reached a moment ago."""
        return now < self._paused_until

    def message(self, addressee: Addressee, identity: str, content: MailContent, now: float) -> bytes:
        """The mail about `content`, ready to be sent."""
        role = f"{identity}.administrator" if addressee.administrator else identity
        message = mail(self._mails.sender, addressee.address, role, self._templates.render(content), now)
        return message if self._key is None else _receipt(self._key, message, now) + message

    def send(self, addressee: Addressee, message: bytes, now: float) -> tuple[MailStep, str]:
        """Send a mail, and return what is known of it with the server's reply."""
        transport = Transfer(b"", (addressee.address,), (message,), len(message))
        sent = transfer(self._mails.server, transport, self._mails.timeout)
        reply = sent.replies[0]
        if reply.accepted:
            return MailStep.SENT, readable(str(reply))
        if reply.code == 0 and sent.stage is Stage.DATA:
            return MailStep.DOUBTFUL, readable(str(reply))
        if reply.code == 0 or sent.stage is Stage.CONNECT:
            self._paused_until = now + _PAUSE
        return MailStep.REFUSED, readable(str(reply))


def _receipt(key: Key, message: bytes, now: float) -> bytes:
    """The receipt of a mail that was not scanned: miltscan has written it."""
    head, _, body = message.partition(b"\r\n\r\n")
    claim = Claim(int(now), Outcome.UNSCANNED, 0, AcceptedBy.RELEASE)
    value = sign_receipt(key, claim, parse_head(head), hashlib.sha256(body).digest())
    return f"{RECEIPT_HEADER}: {value}\r\n".encode()
