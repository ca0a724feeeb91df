"""Submits a message of our own to an SMTP server: its reply and the time of each stage. It never raises."""

from typing import NamedTuple

from miltscan.core.probe import Stage
from miltscan.sandwich.transfer import ServerReply, Transfer, crlf, transfer


class Submission(NamedTuple):
    """The first refusal, or the reply to the message; its stage, and the seconds of each stage that began."""

    reply: ServerReply
    stage: Stage
    seconds: dict[Stage, float]


class OutgoingMail(NamedTuple):
    """Envelope and message. An empty sender gets no bounce."""

    sender: str
    recipient: str
    message: bytes


def submit(server: tuple[str, int], mail: OutgoingMail, timeout: float) -> Submission:
    """Send one message to `server` (host and port), waiting up to `timeout` seconds for each reply."""
    sender, recipient = mail.sender.encode(), mail.recipient.encode()
    message = b"".join(crlf([mail.message]))
    sent = transfer(server, Transfer(sender, (recipient,), [message], len(message), not message.isascii()), timeout)
    return Submission(sent.replies[0], sent.stage, sent.seconds)
