"""One MTA connection in the daemon: its session, and the spool and runtime of the message being built. No pymilter.

How a fault travels: a step whose answer is not awaited must not answer, or the MTA hangs (measured), so an error
there is kept, and raised at EOM where the message can be tempfailed. What C raises before our code runs (a header
name that is no UTF-8) reaches only `sys.excepthook`, which marks the connection: `threading.local` follows the
connection, not the thread.
"""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from miltscan.core.message import Message
from miltscan.core.session import Session
from miltscan.core.verdict import Fault, Verdict
from miltscan.errors import ProtocolError, SpoolError
from miltscan.scanning.pipeline import Processor
from miltscan.scanning.spool import Spool

_NOTHING = Spool(Path(), 0)
"""The bytes of a message of which none came."""

_connection = threading.local()
"""`error`: what C raised in a callback of this connection since its last MAIL."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One configuration as the milter needs it; a message sees one from its MAIL to its end. Sizes in bytes."""

    pipeline: Processor
    message_size: int
    spool_directory: Path
    spool_memory: int


class Conversation:
    """One connection; `lead` as for `Session`."""

    __slots__ = ("error", "runtime", "session", "spool")

    def __init__(self, lead: bytes, runtime: Runtime) -> None:
        self.session = Session(lead=lead)
        self.error: Exception | None = None
        self.runtime = runtime
        self.spool: Spool | None = None

    def begin(self, runtime: Runtime) -> None:
        """A new message: nothing of the last one stays."""
        self.runtime = runtime
        self.spool = Spool(runtime.spool_directory, runtime.spool_memory)
        self.error = _connection.error = None

    def end(self) -> None:
        """The transaction is over and its spool given up, if there was one."""
        spool, self.spool = self.spool, None
        if spool:
            spool.close()

    def mail(self, sender: bytes, arguments: tuple[bytes, ...], *, authenticated: bool) -> Verdict | None:
        """MAIL; a verdict if the announced size passes the limit."""
        limit = self.runtime.message_size
        return self.session.mail(sender, arguments, limit, authenticated=authenticated)

    def body(self, chunk: bytes) -> None:
        """A piece of the body."""
        self._write(self.session.body(chunk))

    def eom(self, queue_id: str, message_id: bytes) -> Message:
        """The whole message; raises what an earlier step met, but a full spool is a verdict on the message."""
        error = self.error or getattr(_connection, "error", None)
        try:
            if error:
                raise error
            self._write(self.session.eom())
        except SpoolError as full:
            return self.message(queue_id, message_id, Verdict.error("spool", Fault.SPOOL, str(full)))
        return self.message(queue_id, message_id)

    def message(self, queue_id: str, message_id: bytes = b"", settled: Verdict | None = None) -> Message:
        """What is known of the message, in any state."""
        return self.session.message(queue_id, message_id, self.spool or _NOTHING, settled)

    def _write(self, data: bytes) -> None:
        if self.spool is None:  # a spool made here would be nobody's to close
            raise ProtocolError("a piece of a message came outside its transaction")
        if data:
            self.spool.write(data)


def catch_what_c_raises() -> None:
    """Let an exception that pymilter prints mark its connection instead: there is nobody to read standard error."""
    sys.excepthook = _mark


def _mark(_kind: object, error: BaseException, _traceback: object) -> None:
    _connection.error = error if isinstance(error, Exception) else RuntimeError(repr(error))
