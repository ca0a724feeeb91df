"""The milter protocol of one connection without its I/O: steps in, bytes to spool and a message out.

It knows which step may follow which, and what belongs to which transaction. It does not know pymilter, files, engines
or policy. A new `_Transaction` is made at each MAIL, so nothing survives from the last message. A step that
finds no entry in the table is a ProtocolError: the MTA and we no longer agree on where we are, and the message is
tempfailed.
"""

from enum import IntEnum, auto

from miltscan.core.edits import Header
from miltscan.core.message import NO_CIRCUMSTANCES, PREFACE, Client, Content, Destination, Envelope, Message
from miltscan.core.verdict import Limit, Verdict
from miltscan.errors import ProtocolError

UNKNOWN_CLIENT = Client("unknown", "unknown")


class _State(IntEnum):  # hashes in C, unlike an Enum: several lookups a message
    IDLE = auto()
    ENVELOPE = auto()
    HEADERS = auto()
    BODY = auto()


_BEFORE_BODY = dict.fromkeys((_State.ENVELOPE, _State.HEADERS), _State.BODY)
_NEXT = {
    "mail": dict.fromkeys(_State, _State.ENVELOPE),  # an MTA may begin again without an abort
    "abort": dict.fromkeys(_State, _State.IDLE),
    "rcpt": {_State.ENVELOPE: _State.ENVELOPE},
    "header": {_State.ENVELOPE: _State.HEADERS, _State.HEADERS: _State.HEADERS},
    "body": _BEFORE_BODY | {_State.BODY: _State.BODY},
    "eom": dict.fromkeys((_State.ENVELOPE, _State.HEADERS, _State.BODY), _State.IDLE),
}


class _Transaction:
    """A message being built: from MAIL to EOM or abort."""

    __slots__ = (
        "arguments",
        "authenticated",
        "destinations",
        "headers",
        "keep",
        "limit",
        "local",
        "recipients",
        "sender",
        "size",
    )

    def __init__(
        self, sender: bytes, arguments: tuple[bytes, ...], limit: int, *, authenticated: bool, keep: bool
    ) -> None:
        self.sender = sender
        self.arguments = arguments
        self.limit = limit
        self.authenticated = authenticated
        self.keep = keep
        self.recipients: list[bytes] = []
        self.destinations: list[Destination] = []
        self.local = True
        self.headers: list[Header] = []
        self.size = 0

    def grown(self, size: int) -> bool:
        """Count `size` bytes; False once the message exceeds the limit, after which it takes no more space.

        With `keep` it is stored whole; the MTA's own limit bounds it.
        """
        self.size += size
        return self.keep or self.size <= self.limit


class Session:
    """One MTA connection. Each method is a step of the milter protocol; all raise ProtocolError out of order.

    `lead` is what the MTA has removed from each header's value: a space, if it cannot keep it. `circumstances` are
    those of the open transaction, as far as they are asked for. `editable` means that the MTA lets us add and remove
    recipients.
    """

    __slots__ = ("_state", "_transaction", "circumstances", "client", "editable", "lead")

    def __init__(self, client: Client = UNKNOWN_CLIENT, lead: bytes = b"") -> None:
        self.client = client
        self.circumstances = NO_CIRCUMSTANCES
        self.lead = lead
        self.editable = False
        self._state = _State.IDLE
        self._transaction = _Transaction(b"", (), 0, authenticated=False, keep=False)

    def mail(
        self, sender: bytes, arguments: tuple[bytes, ...], limit: int, *, authenticated: bool, keep: bool = False
    ) -> Verdict | None:
        """MAIL with its ESMTP arguments; `limit` in bytes. Returns a verdict if the announced size exceeds it.

        The policy decides what follows: if the transaction goes on, the bytes that arrive are counted, and with `keep`
        stored above the limit, too.
        """
        self._go("mail")
        self._transaction = _Transaction(sender, arguments, limit, authenticated=authenticated, keep=keep)
        size = announced_size(arguments)
        return too_large(size, limit) if size > limit else None

    def rcpt(self, recipient: bytes, *, local: bool, destination: Destination | None = None) -> None:
        """One recipient; `local` means that the local mailer delivers to it.

        All recipients of a transaction have a `destination`, or none.
        """
        self._go("rcpt")
        self._transaction.recipients.append(recipient)
        if destination is not None:
            self._transaction.destinations.append(destination)
        self._transaction.local &= local

    def header(self, name: bytes, value: bytes) -> None:
        """One header; `value` with its folds unchanged. Headers are counted together at their end, as there are many.

        The MTA bounds what that may hold in memory (sendmail's MaxHeadersLength, by default 32,768 bytes).
        """
        if self._state is not _State.HEADERS:
            self._go("header")
        self._transaction.headers.append((name, value))

    def body(self, chunk: bytes) -> bytes:
        """A chunk of the body; returns the bytes to spool, none once the message exceeds its limit.

        The first chunk ends the headers and returns them as well: the MTA need not announce their end.
        """
        if self._state is not _State.BODY:
            self._go("body")
            return self._begin(chunk)
        return chunk if self._transaction.grown(len(chunk)) else b""

    def eom(self) -> bytes:
        """End of message: `message` is complete now; returns the bytes to spool of a message without a body."""
        bodiless = self._state is not _State.BODY
        self._go("eom")
        return self._begin(b"") if bodiless else b""

    def _begin(self, chunk: bytes) -> bytes:
        transaction = self._transaction
        if self.lead:
            transaction.headers = [(name, self.lead + value) for name, value in transaction.headers]
        begun = head(transaction.headers) + chunk
        # past the limit the headers stay known: rules ask for them, and a forged one must not stay in what is accepted
        return begun if transaction.grown(len(begun) - len(PREFACE)) else b""

    def message(self, queue_id: str, message_id: bytes, content: Content, settled: Verdict | None = None) -> Message:
        """The message as far as it is known, at its EOM or where it was aborted; in any state."""
        done = self._transaction
        if done.size > done.limit:
            settled = too_large(done.size, done.limit)
        envelope = Envelope(
            done.sender,
            tuple(done.recipients),
            done.authenticated,
            done.local,
            done.arguments,
            tuple(done.destinations),
            self.editable,
        )
        identity = message_id or _message_id(done.headers)
        return Message(
            self.client,
            envelope,
            queue_id,
            identity,
            done.headers,
            done.size,
            content,
            settled,
            self.circumstances,
        )

    def abort(self) -> None:
        """The transaction ends without a message (RSET, client gone)."""
        self._go("abort")

    def _go(self, step: str) -> None:
        try:
            self._state = _NEXT[step][self._state]
        except KeyError:
            raise ProtocolError(f"milter step {step} cannot follow state {self._state.name.lower()}") from None


def too_large(size: int, limit: int) -> Verdict:
    """The verdict on a message of `size` bytes above the `limit`: no engine is asked."""
    return Verdict.unscanned("session", Limit.TOO_LARGE, f"{size} bytes, at most {limit} are accepted")


def announced_size(arguments: tuple[bytes, ...]) -> int:
    """The bytes announced by `SIZE=` in MAIL (RFC 1870 section 4); 0 if it is missing or not a number."""
    for argument in arguments:
        keyword, _, value = argument.partition(b"=")
        if keyword.upper() == b"SIZE" and value.isdigit():
            return int(value[:20])  # RFC 1870: at most 20 digits
    return 0


def head(headers: list[Header]) -> bytes:
    """Preface and headers as they stood in the SMTP session: CRLF line ends, folds kept, the empty line at the end."""
    lines = [name + b":" + (value.replace(b"\n", b"\r\n") if b"\n" in value else value) for name, value in headers]
    return PREFACE + b"\r\n".join([*lines, b"", b""])


def _message_id(headers: list[Header]) -> bytes:
    return next((value.strip() for name, value in headers if name.lower() == b"message-id"), b"")
