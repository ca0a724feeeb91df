"""The messages of the demonstration, the state of the sandwich for each, and the expected result."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

from tests.demo import metrics
from tests.harness import messages
from tests.harness.clamav import Clamd
from tests.harness.client import Reply
from tests.harness.milter import Milter
from tests.harness.processes import wait_until
from tests.harness.sandwich import Sandwich

_MEGABYTE = 1_000_000
_QUEUE_ID = re.compile(r"\b[0-9A-Za-z]{14,}\b")
_READY_WITHIN = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One message: the client's reply and where the message ended, and what was expected."""

    title: str
    expected: str
    reply: str
    incoming: str
    delivery: str
    header: str
    ended: str
    good: bool


@dataclass(frozen=True, slots=True)
class Expectation:
    """A reply whose text matches `pattern`, and whether the message reaches the mailbox."""

    text: str
    pattern: str
    arrives: bool

    def met_by(self, reply: str) -> bool:
        """Return whether the client's reply is the expected one."""
        return bool(re.search(self.pattern, reply))


CLEAN = Expectation("250, marked Clean, in the mailbox", r"^250 ", arrives=True)
VIRUS = Expectation("550 5.7.1 with the signature's name", r"^550 5\.7\.1 .*(?i:eicar)", arrives=False)
LATER = Expectation("451, the client keeps it", r"^451 ", arrives=False)


@dataclass(frozen=True, slots=True)
class Stage:
    """The running parts; `port` is that of the exporter, `counted` has the metrics of earlier runs of the milter."""

    sandwich: Sandwich
    clamd: Clamd
    milter: Milter
    port: int
    counted: Counter[str] = field(default_factory=Counter)

    def moved(self) -> Counter[str]:
        """Return every counter that changed, summed over all runs of the milter, each of which begins at 0."""
        return +(self.counted + Counter(metrics.read(self.port)))

    def rows(self) -> Iterator[Row]:
        """Yield all rows in order, each in the state of the sandwich that it needs."""
        clean = messages.message("Clean text")
        kept = messages.message("Sent while clamd is stopped")
        yield self.send("clean text", clean, CLEAN)
        yield self.send("clean 1 MB attachment", messages.clean_attachment(_MEGABYTE), CLEAN)
        yield self.send("EICAR as attachment", messages.infected(), VIRUS)
        yield self.send("EICAR in zip in nested message", messages.infected_deep_down(), VIRUS)
        with self.without_clamd():
            yield self.send("clean text, clamd stopped", kept, LATER)
            yield self.send("EICAR in zip, clamd stopped", messages.infected_deep_down(), LATER)
        yield self.send("clamd is back, the client retries", kept, CLEAN)
        with self.without_milter():
            yield self.send("clean text, miltscan stopped", messages.message("No milter"), LATER)
        yield from self.without_delivery()

    def send(self, title: str, mail: EmailMessage, expected: Expectation) -> Row:
        """Send one message and find where it ends."""
        reply = self.sandwich.send(messages.as_wire(mail))
        if expected.arrives and reply.code == 250:
            return self._arrived(title, expected, str(reply), str(mail["Message-ID"]))
        return self._rejected(title, expected, str(reply), str(mail["Message-ID"]))

    def _arrived(self, title: str, expected: Expectation, reply: str, message_id: str) -> Row:
        delivered = self.sandwich.mailbox.wait_for(message_id)
        trace = self.sandwich.wait_for_trace(message_id)
        header = str(delivered.message["X-Virus-Status"])
        good = expected.met_by(reply) and header == "Clean"
        return Row(title, expected.text, reply, trace.incoming or "", trace.delivery or "", header, "mailbox", good)

    def _rejected(self, title: str, expected: Expectation, reply: str, message_id: str) -> Row:
        arrived = bool(self.sandwich.mailbox.find(message_id))
        named = _QUEUE_ID.search(reply)
        queue_id = self.sandwich.trace(message_id).incoming or (named[0] if named else "")
        ended = "mailbox" if arrived else "with the client"
        return Row(title, expected.text, reply, queue_id, "", "", ended, expected.met_by(reply) and not arrived)

    @contextmanager
    def without_clamd(self) -> Iterator[None]:
        """Stop clamd, and start it afterwards; then miltscan is ready again.

        A worker publishes its metrics every quarter of a second, so /readyz may still be ok from before the stop.
        """
        self.clamd.stop()
        yield
        wait_until(lambda: not metrics.is_ready(self.port), _READY_WITHIN, "miltscan to report that clamd is down")
        self.clamd.start()
        self.clamd.wait_ready()
        self.wait_ready()

    @contextmanager
    def without_milter(self) -> Iterator[None]:
        """Stop miltscan, and start it afterwards; keep its counters."""
        self.counted.update(metrics.read(self.port))
        self.milter.stop()
        yield
        self.milter.start()
        self.milter.wait_ready()
        self.wait_ready()

    def without_delivery(self) -> Iterator[Row]:
        """Yield a message that waits in mqueue while the delivery sendmail is stopped, and arrives after its start."""
        self.sandwich.delivery.stop()
        mail = messages.message("Delivery is stopped")
        reply = self.sandwich.send(messages.as_wire(mail))
        queued = wait_until(self.sandwich.incoming.queued, 10, "the message in mqueue")
        yield _waiting(reply, queued)
        self.sandwich.delivery.start()
        self.sandwich.delivery.wait_ready()
        self.sandwich.incoming.flush()
        expected = Expectation("arrives from mqueue", r"^250 ", arrives=True)
        yield self._arrived("delivery sendmail is back", expected, str(reply), str(mail["Message-ID"]))

    def wait_ready(self) -> None:
        """Wait until clamd has passed miltscan's self-test."""
        wait_until(lambda: metrics.is_ready(self.port), _READY_WITHIN, "miltscan to be ready")


def _waiting(reply: Reply, queued: list[str]) -> Row:
    title, expected = "clean text, delivery sendmail stopped", "250, waits in mqueue"
    good = reply.code == 250 and len(queued) == 1
    return Row(title, expected, str(reply), " ".join(queued), "", "", "mqueue", good)
