"""An anti-spam engine: has a message scored by the first of its servers that gives an opinion. It knows no protocol.

Each server is tested by GTUBE, which every anti-spam program detects (https://spamassassin.apache.org/gtube/), and is
used only while it passes. See `engines.pool` for the rotation. A connection serves one exchange.
"""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple, assert_never

from miltscan.core.address import Address
from miltscan.core.edits import Header
from miltscan.core.message import NO_CIRCUMSTANCES, PREFACE, Circumstances, Client, Envelope, Message
from miltscan.core.verdict import Advice, Fault, Limit, Verdict
from miltscan.engines.antispam.reply import MAX_REPLY, Scored, SpamReply, garbled
from miltscan.engines.base import Observer, Tick
from miltscan.engines.files import file_chunks, spooled
from miltscan.engines.pool import ServerPool
from miltscan.engines.reply import Failed, Limited
from miltscan.engines.watch import AbandonedError, Server, ServerWatch
from miltscan.engines.wire import DeadlineError, Wire
from miltscan.errors import SpoolError

_GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
_SELF_TEST = (
    b"From: self-test@miltscan.invalid\r\nTo: self-test@miltscan.invalid\r\nSubject: miltscan self-test\r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <self-test@miltscan.invalid>\r\n\r\n" + _GTUBE + b"\r\n"
)
_TEST_TIMEOUT = 20.0
"""Seconds that a self-test waits: a server whose processes are all busy answers late, and is not down."""


class Question(NamedTuple):
    """A message as a protocol needs it: the bytes after `offset` of the open file `descriptor`, `size` of them."""

    client: Client
    envelope: Envelope
    circumstances: Circumstances
    queue_id: str
    headers: Sequence[Header]
    descriptor: int
    size: int
    offset: int = len(PREFACE)


class Dialect(NamedTuple):
    """A protocol: the bytes in front of the message, and what all that the server sent back means. Both pure.

    `ask` returns None for a reply that is still incomplete at the end of the connection.
    """

    ask: Callable[[Question], bytes]
    read: Callable[[bytes, Question], SpamReply]


class AntispamEngine(ServerPool[Server]):
    """See `ServerPool`; `canary_interval` in seconds."""

    def __init__(  # noqa: PLR0913 - a row of settings each
        self,
        name: str,
        servers: Sequence[Address],
        canary_interval: float,
        observer: Observer,
        dialect: Dialect,
        *,
        required: bool = False,
    ) -> None:
        self._dialect = dialect
        mine = [Server(name, address) for address in dict.fromkeys(servers)]
        watches = {server.name: GtubeWatch(server, canary_interval, observer, dialect) for server in mine}
        super().__init__(name, mine, watches, observer, required=required)

    def ask(self, server: Server, message: Message, deadline: float, tick: Tick) -> Verdict:
        """The verdict of one server."""
        question = Question(
            message.client,
            message.envelope,
            message.circumstances,
            message.queue_id,
            message.headers,
            message.content.fileno(),
            message.size,
        )
        match converse(server, question, self._dialect, deadline, tick):
            case Scored(spam, score, threshold, action, symbols, edits, text):
                advice = Advice(action, threshold, symbols, edits, text)
                return Verdict.scored(self.name, server.name, score, advice, spam=spam)
            case Limited(limit, detail):
                if limit is Limit.TIMEOUT:
                    self._suspect(server)
                return Verdict.unscanned(self.name, limit, detail, server.name)
            case Failed(fault, detail):
                self._suspect(server)
                self._observer.server_fault(self.name, server.name, fault, detail)
                return Verdict.error(self.name, fault, detail, server.name)
            case other:
                assert_never(other)


def converse(server: Server, question: Question, dialect: Dialect, deadline: float, tick: Tick) -> SpamReply:
    """The server's reply by `deadline` (time.monotonic seconds). Raises MtaGoneError of the tick, and nothing else."""
    if server.target is None:
        return Failed(Fault.CONNECT, "its host name was not looked up yet")
    fault, wire = Fault.CONNECT, None
    try:
        wire = Wire(server.target, deadline, tick)
        wire.connect()
        fault = Fault.CLOSED
        return _conversation(wire, question, dialect)
    except DeadlineError:
        return Limited(Limit.TIMEOUT, "no reply in time")
    except AbandonedError as reason:
        return Failed(Fault.CANARY, str(reason))
    except SpoolError as error:
        return Failed(Fault.SPOOL, str(error))
    except OSError as error:
        return Failed(fault, error.strerror or str(error))
    finally:
        if wire:
            wire.close()


def _conversation(wire: Wire, question: Question, dialect: Dialect) -> SpamReply:
    try:
        wire.send(dialect.ask(question))
        for chunk in file_chunks(question.descriptor, question.offset):
            wire.send(chunk)
    except ConnectionError:  # it may have replied and closed the connection while we still wrote
        wire.broken = True
    data = wire.receive(MAX_REPLY)
    if len(data) > MAX_REPLY:
        return garbled(f"a reply of more than {MAX_REPLY} bytes")
    reply = dialect.read(data, question)
    if isinstance(reply, Scored) and wire.broken:
        return Failed(Fault.CLOSED, "a reply, but the connection broke")  # it may not have read the whole message
    return reply


class GtubeWatch(ServerWatch[Server]):
    """Tests one server by GTUBE."""

    def __init__(self, server: Server, interval: float, observer: Observer, dialect: Dialect) -> None:
        super().__init__(server, interval, observer)
        self._dialect = dialect

    def attempt(self) -> str:
        """Why the server failed, or empty."""
        with spooled(_SELF_TEST) as descriptor:
            question = Question(
                Client("localhost", "127.0.0.1"),
                Envelope(b"<self-test@miltscan.invalid>", (b"<self-test@miltscan.invalid>",)),
                NO_CIRCUMSTANCES,
                "self-test",
                (),
                descriptor,
                len(_SELF_TEST),
                0,
            )
            return why_missed(converse(self._server, question, self._dialect, monotonic() + _TEST_TIMEOUT, self._wait))

    def _wait(self) -> None:
        if self._stopping.is_set():
            raise AbandonedError("stopping")


def why_missed(reply: SpamReply) -> str:
    """Why `reply` to GTUBE shows a broken server, for the log; empty if it detected the test message."""
    match reply:
        case Scored(spam=True, symbols=symbols) if "GTUBE" in symbols:
            return ""
        case Scored(score=score):
            return f"did not detect the test message GTUBE (score {score:.1f})"
        case Limited(limit, detail):
            return f"did not look at the test message GTUBE: {limit}, {detail}"
        case Failed(fault, detail):
            return detail if fault is Fault.CONNECT else f"{fault}: {detail}"
        case other:
            assert_never(other)
