"""An SMTP client that returns the reply that decided about the message, whichever step it came at."""

import re
import smtplib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

SENDER = "sender@example.org"
RECIPIENT = "recipient@example.test"


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply (RFC 5321 section 4.2), its lines joined by a newline."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"

    @property
    def queue_id(self) -> str:
        """What sendmail calls the message that it has accepted: here at once, in its log some time later."""
        found = re.fullmatch(r"2\.0\.0 (\w+) Message accepted for delivery", self.text)
        assert found, self
        return found[1]


def new_message_id() -> str:
    """A Message-ID that no other message has, angle brackets included."""
    return f"<{uuid.uuid4().hex}@example.org>"


def text_message(message_id: str, body: bytes = b"Hello\r\n", subject: str = "A test") -> bytes:
    """A plain message of a few headers and `body` as it is."""
    head = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: {subject}\r\nMessage-ID: {message_id}\r\n\r\n"
    return head.encode() + body


def send(  # noqa: PLR0913  # an envelope, a message and where to
    port: int,
    message: bytes,
    *,
    sender: str = SENDER,
    recipients: Sequence[str] = (RECIPIENT,),
    source: str = "127.0.0.1",
    timeout: float = 120.0,
    host: str = "127.0.0.1",
) -> Reply:
    """Sends one message in one session from address `source`. The reply is the first refusal, or that to the message.

    Raises OSError when there is no connection, smtplib.SMTPServerDisconnected when the server hangs up.
    """
    with smtplib.SMTP(host, port, "client.example.org", timeout, (source, 0)) as session:
        code, text = session.ehlo()
        if code < 400:
            code, text = session.mail(sender)
        for recipient in recipients:
            if code < 400:
                code, text = session.rcpt(recipient)
        if code < 400:
            code, text = send_data(session, message)
        return Reply(code, text.decode(errors="replace"))


def send_data(session: smtplib.SMTP, message: bytes) -> tuple[int, bytes]:
    """The last step of a transaction: code and text of the reply to DATA if that is refused, else to the message."""
    try:
        return session.data(message)
    except smtplib.SMTPDataError as refused:  # the reply to DATA itself, not to the message
        text = refused.smtp_error
        return refused.smtp_code, text if isinstance(text, bytes) else text.encode()
