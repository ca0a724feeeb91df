"""Sends one message in one SMTP transaction: a reply for each recipient, the message as a stream of chunks.

A message of any size takes the memory of one chunk. Addresses are bytes and reach the server unchanged. A `Transaction`
offers the envelope before it is decided whether the message is sent.
"""

import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import NamedTuple

from miltscan.core.probe import Stage

_DONE = range(200, 300)
_START_INPUT = 354  # RFC 5321 section 4.1.1.4: the reply to DATA
_CLOSING = 421  # RFC 5321 section 4.2.2: the server closes the connection
_REQUIRES_TLS = 530  # RFC 3207 section 4: "Must issue a STARTTLS command first"
_CRLF = b"\r\n"
_LINE_END = re.compile(rb"\r\n|\r|\n")


class ServerReply(NamedTuple):
    """The reply of the server; with code 0 there was none, and the text is the reason."""

    code: int
    text: str

    @property
    def accepted(self) -> bool:
        """Whether the server did what it was asked for."""
        return self.code in _DONE

    def __str__(self) -> str:
        return f"{self.code} {self.text}" if self.code else self.text


class Transfer(NamedTuple):
    """One message to send. An empty sender gets no bounce.

    Addresses are as MAIL and RCPT had them, with or without angle brackets. `chunks` are as `crlf` makes them and have
    `size` bytes together; `eight_bit` tells whether any byte is above 127. Where `chunks` raises neither OSError nor
    ValueError, its exception passes, and the server drops the message for want of a final dot. `arguments` of MAIL, and
    of each RCPT in order, are those of RFC 3461 (DSN); a server that does not offer it receives none.
    """

    sender: bytes
    recipients: tuple[bytes, ...]
    chunks: Iterable[bytes]
    size: int
    eight_bit: bool = False
    arguments: tuple[bytes, ...] = ()
    recipient_arguments: tuple[tuple[bytes, ...], ...] = ()


class Sent(NamedTuple):
    """A reply for each recipient in their order: a refusal, or the reply to the message.

    `reply` is the last one to something else than a recipient; of a transfer without recipients that to MAIL. `stage`
    is the last one that began, `seconds` has each one that began.
    """

    replies: tuple[ServerReply, ...]
    reply: ServerReply
    stage: Stage
    seconds: dict[Stage, float]


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


class Transaction:
    """One message for `server` (host and port): `offer` its envelope, then `send` it, then `close` in any case.

    Each reply takes up to `timeout` seconds. No failure of the server or of the network raises: each is a reply, with
    code 0 where the server sent none.
    """

    def __init__(self, server: tuple[str, int], mail: Transfer, timeout: float) -> None:
        self._server, self._mail, self._timeout = server, mail, timeout
        self._clock = _StageClock()
        self._client: smtplib.SMTP | None = None
        self._refused: dict[int, ServerReply] = {}
        self._reply = ServerReply(0, "")
        self._dotted = False

    @property
    def sent(self) -> Sent:
        """What is known so far."""
        replies = tuple(self._refused.get(number, self._reply) for number in range(len(self._mail.recipients)))
        return Sent(replies, self._reply, self._clock.stage, self._clock.seconds)

    @property
    def doubtful(self) -> bool:
        """Whether the server has the whole message, and did not reply to it: it may have accepted it."""
        return self._dotted and self._reply.code == 0

    def offer(self) -> Sent:
        """Connect, and send MAIL and RCPT."""
        with self._failing():
            with self._clock.time(Stage.CONNECT):
                self._client = client = smtplib.SMTP(*self._server, socket.gethostname(), self._timeout)
            with self._clock.time(Stage.ENVELOPE):
                self._reply = _open(client, self._mail)
                if self._reply.accepted:
                    self._refused.update(_refusals(client, self._mail))
        return self.sent

    def send(self) -> Sent:
        """Send DATA and the message to a server that has accepted any recipient; others keep their reply."""
        client = self._client
        if client is not None and self._reply.accepted and len(self._refused) < len(self._mail.recipients):
            with self._failing(), self._clock.time(Stage.DATA):
                self._reply = self._send(client)
        return self.sent

    def close(self) -> None:
        """End the session; all replies are known, whatever happens to QUIT."""
        client, self._client = self._client, None
        if client is not None:
            with closing(client), suppress(OSError, smtplib.SMTPException):
                client.quit()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """A failure becomes the reply; whatever is raised ends the session without a QUIT."""
        client = None
        try:
            yield
            client = self._client
        except smtplib.SMTPResponseException as answer:  # the reply to the connection, EHLO, STARTTLS or DATA
            self._reply = _reply(answer.smtp_code, answer.smtp_error)
        except (OSError, ValueError, smtplib.SMTPException) as problem:  # ValueError: a text that SMTP cannot carry
            why = getattr(problem, "strerror", None) or problem or type(problem).__name__
            host, port = self._server
            self._reply = ServerReply(0, f"no reply from port {port} of {host}: {why}")
        finally:
            if client is None and self._client is not None:
                self._client.close()
            self._client = client

    def _send(self, client: smtplib.SMTP) -> ServerReply:
        """DATA and the message; the reply to either."""
        code, text = client.docmd("DATA")
        if code != _START_INPUT:
            return _reply(code, text)
        assert client.sock is not None  # noqa: S101 - for mypy: the reply came from it
        for chunk in stuffed(self._mail.chunks):
            try:
                client.sock.sendall(chunk)
            except OSError as problem:
                with suppress(OSError, smtplib.SMTPServerDisconnected):  # what a server says before it hangs up
                    return _reply(*client.getreply())
                raise smtplib.SMTPServerDisconnected(problem.strerror or str(problem)) from problem
        self._dotted = True
        client.send(b".\r\n")
        return _reply(*client.getreply())


def transfer(server: tuple[str, int], mail: Transfer, timeout: float) -> Sent:
    """Send one message to `server` (host and port), waiting up to `timeout` seconds for each reply.

    It fails as a `Transaction` does.
    """
    with closing(Transaction(server, mail, timeout)) as transaction:
        transaction.offer()
        return transaction.send()


def _open(client: smtplib.SMTP, mail: Transfer) -> ServerReply:
    """EHLO and MAIL, with TLS only if the server requires it and with any certificate: it has the message anyway."""
    client.command_encoding = "latin-1"  # each byte of an address as it is
    if client.sock is not None:  # otherwise the final dot waits for the acknowledgement of what is before it: 40 ms
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.ehlo_or_helo_if_needed()
    reply = _mail(client, mail)
    if reply.code == _REQUIRES_TLS and client.has_extn("starttls"):
        client.starttls(context=unverified_tls())
        client.ehlo()
        reply = _mail(client, mail)
    return reply


def _mail(client: smtplib.SMTP, mail: Transfer) -> ServerReply:
    """MAIL with what the server offers: RFC 1870 (size), 6152 (8 bits), 6531 (addresses beyond ASCII)."""
    options = [f"SIZE={mail.size}"] if client.has_extn("size") else []
    if mail.eight_bit and client.has_extn("8bitmime"):
        options.append("BODY=8BITMIME")
    if not all(map(bytes.isascii, (mail.sender, *mail.recipients))) and client.has_extn("smtputf8"):
        options.append("SMTPUTF8")
    if client.has_extn("dsn"):
        options += [argument.decode("latin-1") for argument in mail.arguments]
    return _reply(*client.docmd("MAIL", " ".join([f"FROM:{_path(mail.sender)}", *options])))


def _refusals(client: smtplib.SMTP, mail: Transfer) -> Iterator[tuple[int, ServerReply]]:
    """RCPT for each recipient: the number and the reply of each one that is refused."""
    has_dsn = bool(mail.recipient_arguments) and client.has_extn("dsn")
    for number, recipient in enumerate(mail.recipients):
        options = [one.decode("latin-1") for one in mail.recipient_arguments[number]] if has_dsn else []
        code, text = client.docmd("RCPT", " ".join([f"TO:{_path(recipient)}", *options]))
        if code == _CLOSING:
            raise smtplib.SMTPResponseException(code, text)
        if code not in _DONE:
            yield number, _reply(code, text)


def _path(address: bytes) -> str:
    bare = address if address.startswith(b"<") and address.endswith(b">") else b"<%b>" % address
    return bare.decode("latin-1")


def _reply(code: int, text: bytes | str) -> ServerReply:
    words = text if isinstance(text, str) else text.decode(errors="replace")
    return ServerReply(code, words) if code >= 0 else ServerReply(0, f"not a reply of SMTP: {words}")


def crlf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""The chunks with CRLF at each line end and at the end of the last line; no chunk ends between CR and LF.

    A lone CR or LF is a line end: no server takes it as anything else (RFC 5321 section 2.3.8), sendmail closes the
    connection.
    """
    held = ended = b""
    for chunk in chunks:
        data = held + chunk
        held = data[-1:] if data.endswith(b"\r") else b""
        data = data[: len(data) - len(held)]
        if not data.count(b"\r") == data.count(b"\n") == data.count(_CRLF):
            data = _LINE_END.sub(_CRLF, data)
        if data:
            ended = data[-2:]
            yield data
    if held or ended != _CRLF:
        yield _CRLF


def stuffed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of `crlf` with a second dot in front of each line that begins with one (RFC 5321 section 4.5.2)."""
    begins = True
    for chunk in chunks:
        yield (b"." if begins and chunk.startswith(b".") else b"") + chunk.replace(b"\r\n.", b"\r\n..")
        begins = chunk.endswith(_CRLF)


def unverified_tls() -> ssl.SSLContext:
    """TLS that accepts any certificate, for a connection that carries no secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
