"""One MTA connection in a worker: its protocol state, and the spool and runtime of its open transaction. No pymilter.

Errors wait for the EOM: a reply to a step to which the MTA expects none makes the MTA hang
(tests/milter/test_protocol.py). So an error in such a step is kept, and raised at EOM, where the message can be
tempfailed. What C raises before our code runs (a header name that is not UTF-8) reaches only `sys.excepthook`, which
marks the connection: pymilter's `threading.local` belongs to the connection, not to the thread.
"""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from miltscan.core.message import Message
from miltscan.core.report import Report
from miltscan.core.ruled import Ruling
from miltscan.core.session import Session, announced_size
from miltscan.core.verdict import Fault, Outcome, Verdict
from miltscan.errors import ProtocolError, SpoolError
from miltscan.scanning.pipeline import Processor
from miltscan.scanning.spool import Spool

_NOTHING = Spool(Path(), 0)
"""The content of a message without any bytes."""

_connection = threading.local()
"""`error`: what C raised in a callback of this connection since its last MAIL."""


def _unrecorded(_message: Message, _ruling: Ruling) -> None:
    """Nobody is notified."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the milter needs of one configuration; a message keeps it from MAIL to its end. Sizes in bytes.

    `pipeline` processes whole messages; `announced` decides at MAIL about a size above `message_size`, and stores
    nothing; None where that must wait for the end. `keeps_large` means that such a message is needed whole. `inquires`
    means that an engine uses what else the MTA knows of a session (`core.message.Circumstances`). `splits` means that
    recipients of a message may have different decisions, for which their destinations are needed. `classify` returns
    the class of the only recipient of a message that has not arrived yet, where those of another class than the first
    one are refused at RCPT. `refuse` returns the ruling by which such a recipient is refused, None for others;
    `refused` is notified of it then.
    """

    pipeline: Processor
    announced: Processor | None
    message_size: int
    keeps_large: bool
    spool_directory: Path
    spool_memory: int
    inquires: bool = False
    splits: bool = False
    classify: Callable[[Message], object] | None = None
    refuse: Callable[[Message], Ruling | None] | None = None
    refused: Callable[[Message, Ruling], None] = _unrecorded

    @property
    def answers_recipients(self) -> bool:
        """Whether some recipients may be refused at RCPT."""
        return self.classify is not None or self.refuse is not None


class MtaSession:
    """One connection; `lead` and `steps` as for `core.session.Session`.

    For its EOM: `queue_id`, when it last made progress (`alive`), and when the next progress packet is due.
    `adds_with_arguments` means that the MTA takes ESMTP arguments for a recipient that we add, `answers_recipients`
    that it waits for our answer to each RCPT. `first_class` is the class of the first recipient.
    """

    __slots__ = (
        "adds_with_arguments",
        "alive",
        "answers_recipients",
        "error",
        "first_class",
        "next_progress",
        "queue_id",
        "runtime",
        "spool",
        "steps",
    )

    def __init__(self, lead: bytes, runtime: Runtime) -> None:
        self.steps = Session(lead=lead)
        self.error: Exception | None = None
        self.runtime = runtime
        self.spool: Spool | None = None
        self.queue_id = ""
        self.adds_with_arguments = self.answers_recipients = False
        self.first_class: object = None
        self.alive = self.next_progress = 0.0

    def begin(self, runtime: Runtime) -> None:
        """Begin a transaction; nothing of the last one remains."""
        self.runtime = runtime
        self.spool = Spool(runtime.spool_directory, runtime.spool_memory)
        self.error = _connection.error = None

    def end(self) -> None:
        """End the transaction and close its spool, if there is one."""
        spool, self.spool = self.spool, None
        if spool:
            spool.close()

    def recycle(self, report: Report) -> None:
        """Close the spool of a message that every engine has found clean: none reads it any more."""
        if self.spool and all(timed.verdict.outcome is Outcome.CLEAN for timed in report.verdicts):
            self.spool.recycle()

    def mail(self, sender: bytes, arguments: tuple[bytes, ...], *, authenticated: bool) -> Verdict | None:
        """MAIL; returns a verdict if the announced size exceeds the limit."""
        if self.spool:
            self.spool.expected = announced_size(arguments)
        runtime = self.runtime
        return self.steps.mail(
            sender, arguments, runtime.message_size, authenticated=authenticated, keep=runtime.keeps_large
        )

    def refusal(self, recipient: bytes, *, local: bool) -> tuple[Message, Ruling] | None:
        """The ruling that refuses a recipient at RCPT, with the message as if it were its only one; None for others."""
        refuse = self.runtime.refuse
        if refuse is None or not self.answers_recipients:
            return None
        message = self.message(self.queue_id)
        envelope = message.envelope
        alone = envelope._replace(recipients=(recipient,), local=envelope.local and local)
        message = message._replace(envelope=alone)
        ruling = refuse(message)
        return (message, ruling) if ruling else None

    def needs_another(self, recipient: bytes) -> bool:
        """Whether a recipient needs a transaction of its own; the first one never does."""
        classify = self.runtime.classify
        if classify is None or not self.answers_recipients:
            return False
        message = self.message(self.queue_id)
        envelope = message.envelope
        its = classify(message._replace(envelope=envelope._replace(recipients=(recipient,))))
        if not envelope.recipients:
            self.first_class = its
        return its != self.first_class

    def body(self, chunk: bytes) -> None:
        """Add a chunk of the body."""
        self._write(self.steps.body(chunk))

    def eom(self, queue_id: str, message_id: bytes) -> Message:
        """The whole message; raises the error of an earlier step, but a full spool becomes a verdict on the message."""
        error = self.error or getattr(_connection, "error", None)
        try:
            if error:
                raise error
            self._write(self.steps.eom())
        except SpoolError as full:
            return self.message(queue_id, message_id, Verdict.error("spool", Fault.SPOOL, str(full)))
        return self.message(queue_id, message_id)

    def message(self, queue_id: str, message_id: bytes = b"", settled: Verdict | None = None) -> Message:
        """The message as far as it is known, in any state."""
        return self.steps.message(queue_id, message_id, self.spool or _NOTHING, settled)

    def _write(self, data: bytes) -> None:
        if self.spool is None:  # a spool made here would never be closed
            raise ProtocolError("received a chunk of a message outside a transaction")
        if data:
            self.spool.write(data)


def catch_what_c_raises() -> None:
    """Let an exception that pymilter prints mark its connection instead: standard error is not read."""
    sys.excepthook = _mark


def _mark(_kind: object, error: BaseException, _traceback: object) -> None:
    _connection.error = error if isinstance(error, Exception) else RuntimeError(repr(error))
