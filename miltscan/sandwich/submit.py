"""One message to an SMTP server, what was heard, and the time of each stage. It judges nothing, and never raises."""

import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from miltscan.core.probe import Stage

_DONE = range(200, 300)
_WANTS_TLS = 530  # RFC 3207 section 4: "Must issue a STARTTLS command first"


class ServerReply(NamedTuple):
    """What the server said; code 0: it said nothing, the text tells why."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}" if self.code else self.text


class Submission(NamedTuple):
    """The first refusal, or the reply to the message; the stage that it came in, and the seconds of each one begun."""

    reply: ServerReply
    stage: Stage
    seconds: dict[Stage, float]


class OutgoingMail(NamedTuple):
    """What is sent: envelope and message. An empty sender gets no bounce."""

    sender: str
    recipient: str
    message: bytes


def submit(place: tuple[str, int], letter: OutgoingMail, patience: float) -> Submission:
    """Send the letter to `place` (host and port), waiting up to `patience` seconds for each reply."""
    return _Way(letter).go(place, patience)


class _Way:
    """One submission under way."""

    def __init__(self, letter: OutgoingMail) -> None:
        self.letter = letter
        self.stage = Stage.CONNECT
        self.seconds: dict[Stage, float] = {}

    def go(self, place: tuple[str, int], patience: float) -> Submission:
        """Connect, envelope, data, as far as it goes."""
        try:
            with self._timed(Stage.CONNECT):
                session = smtplib.SMTP(*place, socket.gethostname(), patience)
            try:
                reply = self._converse(session)
            finally:
                session.close()
        except smtplib.SMTPResponseException as refused:  # the reply to the connection, EHLO, STARTTLS or DATA
            reply = _reply(refused.smtp_code, refused.smtp_error)
        except (OSError, ValueError, smtplib.SMTPException) as problem:  # ValueError: no text that SMTP can carry
            reply = ServerReply(0, f"no reply: {problem or type(problem).__name__}")
        return Submission(reply, self.stage, self.seconds)

    def _converse(self, session: smtplib.SMTP) -> ServerReply:
        with self._timed(Stage.ENVELOPE):
            session.ehlo_or_helo_if_needed()
            reply = self._envelope(session)
        if reply.code in _DONE:
            with self._timed(Stage.DATA):
                reply = _reply(*session.data(self.letter.message))
        _leave(session)
        return reply

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        self.stage, began = stage, time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = time.monotonic() - began

    def _envelope(self, session: smtplib.SMTP) -> ServerReply:
        """TLS only where the server insists on it, and any certificate will do: nothing that is secret is sent."""
        reply = self._addresses(session)
        if reply.code == _WANTS_TLS and session.has_extn("starttls"):
            session.starttls(context=unverified())
            session.ehlo()
            reply = self._addresses(session)
        return reply

    def _addresses(self, session: smtplib.SMTP) -> ServerReply:
        reply = _reply(*session.mail(self.letter.sender))
        return _reply(*session.rcpt(self.letter.recipient)) if reply.code in _DONE else reply


def _leave(session: smtplib.SMTP) -> None:
    """QUIT, whatever becomes of it: the server has said its word."""
    try:
        session.quit()
    except (OSError, smtplib.SMTPException):
        return


def unverified() -> ssl.SSLContext:
    """TLS with whoever answers: to see that he does, or to hand over what is no secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _reply(code: int, text: bytes | str) -> ServerReply:
    return ServerReply(code, text if isinstance(text, str) else text.decode(errors="replace"))
