"""A fake MTA: a small synchronous client that drives a real libmilter filter as sendmail 8.17 does.

For tests of the milter and for load generation. It keeps one session on a unix or TCP socket, honours what was
negotiated (steps left out, steps without a reply, leading blanks, macro lists) and waits for nothing longer than its
timeout. It speaks no SMTP, has no queue, and applies no header edit: it hands back what the milter asked for. The bytes
are made and read in `tests/fakes/milter_wire.py`.

    with MTA.open("unix:/run/x/milter.sock") as mta:
        result = mta.send_message(Message(body=b"hello"))
        assert result.accepted
"""

import itertools
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from tests.fakes.milter_wire import (
    CHUNK_SIZE,
    INTERIM,
    Code,
    Command,
    HeaderEdit,
    Options,
    Protocol,
    Reply,
    Stage,
    body_chunks,
    connect_payload,
    encode,
    encode_macros,
    encode_options,
    parse_header_edit,
    parse_options,
    parse_reply,
    split_packet,
    strings,
)

GO_ON: Final = frozenset({Code.CONTINUE, Code.SKIP})
REFUSALS: Final = frozenset({Code.REJECT, Code.TEMPFAIL, Code.REPLYCODE})
HEADER_EDITS: Final = frozenset({Code.ADD_HEADER, Code.INSERT_HEADER, Code.CHANGE_HEADER})
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds

# confMILTER_MACROS_* of sendmail 8.17 (none for DATA and EOH), and {client_*}, which an .mc file has to add at connect.
DEFAULT_MACROS: Final[Mapping[Stage, tuple[bytes, ...]]] = {
    Stage.CONNECT: (
        *(b"j", b"_", b"{daemon_name}", b"{if_name}", b"{if_addr}"),
        *(b"{client_addr}", b"{client_name}", b"{client_ptr}"),
    ),
    Stage.HELO: (b"{tls_version}", b"{cipher}", b"{cipher_bits}", b"{cert_subject}", b"{cert_issuer}"),
    Stage.MAIL: (
        *(b"i", b"{auth_type}", b"{auth_authen}", b"{auth_ssf}", b"{auth_author}"),
        *(b"{mail_mailer}", b"{mail_host}", b"{mail_addr}"),
    ),
    Stage.RCPT: (b"{rcpt_mailer}", b"{rcpt_host}", b"{rcpt_addr}"),
    Stage.EOM: (b"{msg_id}",),
}


def default_values() -> dict[bytes, bytes]:
    """The macros that have a value before the first step; one without a value is not sent."""
    return {
        b"j": b"mx.example.test",
        b"_": b"client.example.test [192.0.2.1]",
        b"{daemon_name}": b"MTA",
        b"{if_name}": b"mx.example.test",
        b"{if_addr}": b"192.0.2.25",
        b"{client_addr}": b"192.0.2.1",
        b"{client_name}": b"client.example.test",
        b"{client_ptr}": b"client.example.test",
        b"{mail_mailer}": b"esmtp",
        b"{mail_host}": b"example.org.",
        b"{rcpt_mailer}": b"local",
    }


@dataclass(frozen=True, slots=True)
class Message:
    """One transaction to send; a header's value is all that stood behind its colon, with the leading blank."""

    sender: bytes = b"<alice@example.org>"
    recipients: tuple[bytes, ...] = (b"<bob@example.test>",)
    headers: tuple[tuple[bytes, bytes], ...] = ((b"Subject", b" test"), (b"Message-ID", b" <1@example.org>"))
    body: bytes = b"hello\r\n"
    sender_args: tuple[bytes, ...] = ()
    queue_id: bytes | None = None  # None: the next one of this session


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one transaction; `step` is where it ended and `log` every reply in order."""

    step: Command
    reply: Reply
    log: tuple[Reply, ...]
    refused: tuple[bytes, ...]  # recipients the milter did not want
    named: tuple[bytes, ...] = ()  # those of the message

    @property
    def accepted(self) -> bool:
        """Whether the message goes on its way (a discarded one does not)."""
        return self.reply.code is Code.ACCEPT or (self.step is Command.EOM and self.reply.code is Code.CONTINUE)

    @property
    def edits(self) -> tuple[HeaderEdit, ...]:
        """The header changes, in the order in which they were asked for."""
        return tuple(parse_header_edit(reply) for reply in self.log if reply.code in HEADER_EDITS)

    @property
    def recipients(self) -> tuple[bytes, ...]:
        """Those who receive the message from the MTA, as the milter has edited them; none if it does not go on."""
        left = dict.fromkeys(one for one in self.named if one.strip(b"<>") not in self.refused) if self.accepted else {}
        for reply in self.log:
            address = reply.payload.split(b"\0")[0]
            match reply.code:
                case Code.DELETE_RECIPIENT:
                    left.pop(address, None)
                case Code.ADD_RECIPIENT | Code.ADD_RECIPIENT_ARGS if self.accepted:
                    left[address] = None
        return tuple(left)

    @property
    def quarantine(self) -> bytes | None:
        """The reason for which the message is held in the MTA's queue; None if it is not."""
        reasons = [reply.payload.removesuffix(b"\0") for reply in self.log if reply.code is Code.QUARANTINE]
        return reasons[-1] if reasons else None

    @property
    def progress(self) -> int:
        """How many progress packets came."""
        return sum(reply.code is Code.PROGRESS for reply in self.log)


def dial(address: str, timeout: float) -> socket.socket:
    """Connect to `unix:/path` or `inet:PORT@HOST` within `timeout` seconds; OSError if it cannot."""
    kind, _, rest = address.partition(":")
    if kind not in ("unix", "inet"):
        raise ValueError(f"neither unix: nor inet: {address}")
    port, _, host = rest.partition("@")
    inet = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = socket.socket(socket.AF_UNIX if kind == "unix" else inet)
    try:
        connection.settimeout(timeout)
        connection.connect(rest if kind == "unix" else (host, int(port)))
    except BaseException:
        connection.close()
        raise
    return connection


class MTA:
    """One session with a milter.

    Every step sends its macros first, then the command, and returns the milter's replies up to the one that ends the
    step; it returns () for a step that the milter skips or does not answer. Raises TimeoutError when a reply takes
    longer than `timeout` seconds (progress restarts the time, as in sendmail), ConnectionError when the milter has
    gone, ProtocolError when it breaks the protocol. `values` and `without` may be changed between steps.
    """

    def __init__(self, connection: socket.socket, offer: Options | None = None, timeout: float = 60.0) -> None:
        connection.settimeout(timeout)
        self.connection = connection
        self.offer = offer or Options()
        self.options = self.offer
        self.values = default_values()
        self.without: set[bytes] = set()  # macros to leave out
        self.greeted = False
        self._buffer = b""
        self._queue_ids = itertools.count(1)

    @classmethod
    def open(cls, address: str, offer: Options | None = None, timeout: float = 60.0) -> Self:
        """Connect to `unix:/path` or `inet:PORT@HOST` and negotiate."""
        mta = cls(dial(address, timeout), offer, timeout)
        try:
            mta.negotiate()
        except BaseException:
            mta.cut()
            raise
        return mta

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.cut()

    # The wire

    def raw(self, data: bytes) -> None:
        """Send any bytes: a packet too large, cut short, or of no meaning."""
        self.connection.sendall(data)

    def read(self) -> Reply:
        """The milter's next packet."""
        while (split := split_packet(self._buffer)) is None:
            data = self.connection.recv(65536)
            if not data:
                raise ConnectionAbortedError("the milter has closed the connection")
            self._buffer += data
        content, self._buffer = split
        return parse_reply(content)

    def closed_by_milter(self) -> bool:
        """Wait until the milter has closed; False if it sends something first. TimeoutError if it does neither."""
        try:
            return not self.connection.recv(1)
        except ConnectionError:
            return True

    def cut(self, *, reset: bool = False) -> None:
        """Close at once without a word; over TCP with a reset if asked for. May be called twice."""
        if reset and self.connection.fileno() >= 0:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.connection.close()

    def negotiate(self) -> Options:
        """Send our offer and keep what the milter makes of it."""
        self.raw(encode_options(self.offer))
        self.options = parse_options(self.read())
        return self.options

    def macros(self, command: Command, macros: Mapping[bytes, bytes]) -> None:
        """Send these macros for `command`, regardless of the negotiation."""
        self.raw(encode_macros(command, macros))

    def step(self, command: Command, payload: bytes = b"") -> tuple[Reply, ...]:
        """Macros, command, replies. Macros go even when the milter skips the command, as sendmail does."""
        stage = Stage.__members__.get(command.name)
        if stage is not None and self.macro_names(stage):
            self.macros(command, self.macros_for(stage))
        if not self.options.sends(command):
            return ()
        self.raw(encode(command, payload))
        return tuple(self._until_final()) if self.options.replies(command) else ()

    def macro_names(self, stage: Stage) -> tuple[bytes, ...]:
        """What the milter asked for at this step, else the list of sendmail; without one no packet goes."""
        return self.options.macros.get(stage, DEFAULT_MACROS.get(stage, ()))

    def macros_for(self, stage: Stage) -> dict[bytes, bytes]:
        """The macros of a step, as far as they have a value."""
        names = self.macro_names(stage)
        return {name: self.values[name] for name in names if name in self.values and name not in self.without}

    def _until_final(self) -> Iterator[Reply]:
        while (reply := self.read()).code in INTERIM:
            yield reply
        yield reply

    # The steps of a session

    def connect(
        self,
        host: bytes = b"client.example.test",
        family: bytes = b"4",
        port: int = 40000,
        address: bytes = b"192.0.2.1",
    ) -> tuple[Reply, ...]:
        """A client has connected; family is b"4", b"6", b"L" or b"U"."""
        return self.step(Command.CONNECT, connect_payload(host, family, port, address))

    def helo(self, name: bytes = b"client.example.test") -> tuple[Reply, ...]:
        """HELO or EHLO."""
        return self.step(Command.HELO, strings(name))

    def unknown(self, line: bytes) -> tuple[Reply, ...]:
        """An SMTP command that the MTA does not know."""
        return self.step(Command.UNKNOWN, strings(line))

    def abort(self) -> None:
        """The transaction is over (RSET, refused, client gone); the session goes on. No reply."""
        self.raw(encode(Command.ABORT))

    def quit(self) -> None:
        """The session is over. No reply; the milter closes."""
        self.raw(encode(Command.QUIT))

    def quit_nc(self) -> None:
        """The session is over and the next one comes over the same socket. No reply, no new negotiation."""
        self.raw(encode(Command.QUIT_NC))
        self.greeted = False

    # The steps of a transaction

    def mail(self, sender: bytes, *args: bytes, queue_id: bytes | None = None) -> tuple[Reply, ...]:
        """MAIL FROM with ESMTP arguments, such as b"SIZE=1000"; a new queue ID with it."""
        self.values[b"i"] = queue_id or b"5AB0000000%04d" % next(self._queue_ids)
        self.values[b"{mail_addr}"] = sender.strip(b"<>")
        self.values.pop(b"{msg_id}", None)
        return self.step(Command.MAIL, strings(sender, *args))

    def rcpt(self, recipient: bytes, *args: bytes) -> tuple[Reply, ...]:
        """RCPT TO with ESMTP arguments."""
        self.values[b"{rcpt_addr}"] = recipient.strip(b"<>")
        return self.step(Command.RCPT, strings(recipient, *args))

    def data(self) -> tuple[Reply, ...]:
        """DATA."""
        return self.step(Command.DATA)

    def header(self, name: bytes, value: bytes) -> tuple[Reply, ...]:
        """One header; one leading blank of the value goes unless leading blanks were negotiated."""
        if name.lower() == b"message-id":
            self.values[b"{msg_id}"] = value.strip()
        keep = Protocol.HDR_LEADSPC in self.options.protocol
        return self.step(Command.HEADER, strings(name, value if keep else value.removeprefix(b" ")))

    def eoh(self) -> tuple[Reply, ...]:
        """The end of the headers."""
        return self.step(Command.EOH)

    def body(self, body: bytes, chunk_size: int = CHUNK_SIZE) -> tuple[Reply, ...]:
        """The body in chunks, up to the first reply that is not "continue" (SKIP: the milter has seen enough)."""
        replies: tuple[Reply, ...] = ()
        for chunk in body_chunks(body, chunk_size):
            replies += self.step(Command.BODY, chunk)
            if replies and replies[-1].code is not Code.CONTINUE:
                break
        return replies

    def eom(self) -> tuple[Reply, ...]:
        """The end of the message: the last reply is the milter's decision."""
        return self.step(Command.EOM)

    # Whole transactions

    def walk(self, message: Message) -> Iterator[tuple[Command, tuple[Reply, ...]]]:
        """Do one step per call, regardless of the replies; break off anywhere, for instance to cut() there."""
        if not self.greeted:
            self.greeted = True
            yield Command.CONNECT, self.connect()
            yield Command.HELO, self.helo()
        yield Command.MAIL, self.mail(message.sender, *message.sender_args, queue_id=message.queue_id)
        for recipient in message.recipients:
            yield Command.RCPT, self.rcpt(recipient)
        yield Command.DATA, self.data()
        for name, value in message.headers:
            yield Command.HEADER, self.header(name, value)
        yield Command.EOH, self.eoh()
        yield Command.BODY, self.body(message.body)
        yield Command.EOM, self.eom()

    def send_message(self, message: Message | None = None) -> Result:
        """One transaction as sendmail leads it: up to the first final reply, or while one recipient is left."""
        message = message or Message()
        log: list[Reply] = []
        refused: list[bytes] = []
        command, reply = Command.CONNECT, Reply(Code.CONTINUE)
        for command, replies in self.walk(message):
            log += replies
            reply = replies[-1] if replies else Reply(Code.CONTINUE)
            if command is Command.RCPT and reply.code in REFUSALS:
                refused.append(self.values[b"{rcpt_addr}"])
                if len(refused) < len(message.recipients):
                    continue
            if reply.code not in GO_ON:
                break
        if command is not Command.EOM:
            self.abort()
        return Result(command, reply, tuple(log), tuple(refused), message.recipients)
