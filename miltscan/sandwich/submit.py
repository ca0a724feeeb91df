"""Submits one message to an SMTP server and returns its reply and the time of each stage. It never raises."""

import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple

from miltscan.core.probe import Stage

_DONE = range(200, 300)
_REQUIRES_TLS = 530  # RFC 3207 section 4: "Must issue a STARTTLS command first"


class ServerReply(NamedTuple):
    """The reply of the server; with code 0 there was none, and the text is the reason."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}" if self.code else self.text


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


class _StageClock:
    """The stage that began last, and the seconds of each one."""

    def __init__(self) -> None:
        self.stage = Stage.CONNECT
        self.seconds: dict[Stage, float] = {}

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Measure one stage, even if it raises."""
        self.stage, began = stage, time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = time.monotonic() - began


def submit(server: tuple[str, int], mail: OutgoingMail, timeout: float) -> Submission:
    """Send one message to `server` (host and port), waiting up to `timeout` seconds for each reply."""
    clock = _StageClock()
    try:
        with clock.time(Stage.CONNECT):
            client = smtplib.SMTP(*server, socket.gethostname(), timeout)
        with closing(client):
            with clock.time(Stage.ENVELOPE):
                client.ehlo_or_helo_if_needed()
                reply = _send_envelope(client, mail)
                # TLS only if the server requires it, with any certificate: the message contains no secret
                if reply.code == _REQUIRES_TLS and client.has_extn("starttls"):
                    client.starttls(context=unverified_tls())
                    client.ehlo()
                    reply = _send_envelope(client, mail)
            if reply.code in _DONE:
                with clock.time(Stage.DATA):
                    reply = _reply(*client.data(mail.message))
            with suppress(OSError, smtplib.SMTPException):  # the reply is known, whatever happens to QUIT
                client.quit()
    except smtplib.SMTPResponseException as refused:  # the reply to the connection, EHLO, STARTTLS or DATA
        reply = _reply(refused.smtp_code, refused.smtp_error)
    except (OSError, ValueError, smtplib.SMTPException) as problem:  # ValueError: a text that SMTP cannot carry
        why = getattr(problem, "strerror", None) or problem or type(problem).__name__
        reply = ServerReply(0, f"no reply from port {server[1]} of {server[0]}: {why}")
    return Submission(reply, clock.stage, clock.seconds)


def _send_envelope(client: smtplib.SMTP, mail: OutgoingMail) -> ServerReply:
    reply = _reply(*client.mail(mail.sender))
    return _reply(*client.rcpt(mail.recipient)) if reply.code in _DONE else reply


def _reply(code: int, text: bytes | str) -> ServerReply:
    return ServerReply(code, text if isinstance(text, str) else text.decode(errors="replace"))


def unverified_tls() -> ssl.SSLContext:
    """TLS that accepts any certificate, for a connection that carries no secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
