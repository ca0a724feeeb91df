"""The whole sandwich: incoming sendmail, delivery sendmail, mailbox, log, and on demand clamd and a milter.

    with private_folder() as folder, Sandwich(folder, milter_socket=folder / "run" / "miltscan.sock") as sandwich:
        sandwich.start_clamd()
        sandwich.start_milter(["miltscan", "run", "--config", config])
        reply = sandwich.send(message)
        sandwich.mailbox.wait_for(message_id)

Everything is in the folder, listens on loopback only, and ends with the context; `keep()` leaves it running.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from tests.harness import client, guard, hostname, ports, preload, programs
from tests.harness.clamav import Clamd
from tests.harness.mailbox import Mailbox
from tests.harness.milter import Milter
from tests.harness.processes import PATIENCE, Programs, wait_until
from tests.harness.sendmail import Sendmail, Settings, build
from tests.harness.syslog import Syslog

_QUEUE_RUN = 5.0  # seconds to wait for the delivery before a queue run tries it again


@contextmanager
def private_folder(*, keep: bool = False) -> Iterator[Path]:
    """A new folder that sendmail trusts, removed at the end unless `keep`.

    Not below /tmp: sendmail refuses a milter socket below a world-writable directory.
    """
    parent = next(path for path in (Path("/var/lib"), programs.CHECKOUT / ".venv") if _writable(path))
    folder = Path(tempfile.mkdtemp(prefix="miltscan-", dir=parent))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder)


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Trace:
    """One message in the log: its queue ID in each sendmail, None while it has none."""

    incoming: str | None
    delivery: str | None


class Sandwich:
    """A running sandwich; see the module for its use.

    Args:
        folder: where everything is; best from `private_folder`.
        milter_socket: the socket incoming asks, there or not; None for an incoming sendmail without a milter.
        incoming_port: the wanted port, for instance 2525; 0 for any.
        delivery_port: likewise, for instance 19000.
        queue_interval: time between queue runs of both sendmails, for instance "15s"; none runs without it.
        site: further settings of sendmail/settings.m4. With SITE_HANDOFF=program the delivery sendmail does not listen,
            a process that runs its queue every hour takes its place.
    """

    def __init__(  # noqa: PLR0913  # each has a default
        self,
        folder: Path,
        milter_socket: Path | None = None,
        incoming_port: int = 0,
        delivery_port: int = 0,
        queue_interval: str = "",
        *,
        site: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.programs = Programs(folder)
        self.milter_socket = milter_socket
        self.chosen = (ports.choose(incoming_port), ports.choose(delivery_port))
        self.queue_interval = queue_interval
        self.site = site or {}
        self.incoming = Sendmail(self.programs, "incoming", self.chosen[0].number)
        self.delivery = Sendmail(self.programs, "delivery", self.chosen[1].number)
        self.clamd: Clamd | None = None
        self.milter: Milter | None = None
        self.kept = False

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.programs.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self.kept:
            self.programs.end()

    def _start(self) -> None:
        (self.folder / "run").mkdir(exist_ok=True)
        self.mailbox = Mailbox.start(self.programs)
        build(
            self.folder,
            Settings(self.incoming.port, self.delivery.port, self.mailbox.port, self.milter_socket, self.site),
        )
        self.syslog = Syslog.start(self.programs, preload.log_socket(self.folder))
        if self.site.get("SITE_HANDOFF") == "program":
            self.delivery.start_queue_runner()
            daemons = [self.incoming]
        else:
            self.delivery.start(self.queue_interval)
            daemons = [self.delivery, self.incoming]
        self.incoming.start(self.queue_interval)
        for sendmail in daemons:
            sendmail.wait_ready()
        self.mailbox.wait_ready()

    @property
    def notes(self) -> list[str]:
        """Notes for the user: replaced ports, host name, signatures."""
        told = [port.note for port in self.chosen]
        told.append(hostname.advice() or "")
        return [note for note in [*told, self.clamd.note if self.clamd else ""] if note]

    def start_clamd(self) -> Clamd:
        """Prepares and starts this sandwich's clamd, and waits until it answers."""
        self.clamd = Clamd.prepare(self.programs)
        self.clamd.start()
        self.clamd.wait_ready()
        return self.clamd

    def start_milter(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Milter:
        """Starts `command` as this sandwich's milter, and waits until `milter_socket` accepts connections."""
        assert self.milter_socket is not None, "this sandwich was built without a milter"
        self.milter = Milter(self.programs, command, self.milter_socket, environment or {})
        self.milter.start()
        self.milter.wait_ready()
        return self.milter

    @property
    def send(self) -> "partial[client.Reply]":
        """As `client.send`, to the incoming sendmail; takes the message and its keyword arguments."""
        return partial(client.send, self.incoming.port)

    def trace(self, message_id: str) -> Trace:
        """Both queue IDs of the last message with this Message-ID, as far as the log has them yet."""
        incoming = self.syslog.find_last(rf"incoming\[\d+\]: (\w+): from=.*msgid={re.escape(message_id)}")
        if incoming is None:
            return Trace(None, None)
        handed = self.syslog.find(rf"incoming\[\d+\]: {incoming[1]}: to=.*stat=Sent \((\w+) Message accepted")
        return Trace(incoming[1], handed and handed[1])

    def wait_for_trace(self, message_id: str, timeout: float = PATIENCE) -> Trace:
        """As trace, but waits until the message has both queue IDs; ProgramError after `timeout` seconds."""

        def handed_over() -> Trace | None:
            trace = self.trace(message_id)
            return trace if trace.delivery else None

        return wait_until(handed_over, timeout, f"both queue IDs of {message_id} in the log")

    def wait_until_empty(self, timeout: float = PATIENCE) -> None:
        """Returns when both queues are empty: all is delivered. ProgramError after `timeout` seconds.

        What lasts longer had a temporary error, as where a test has stopped a program behind the message before: queue
        runs, which these daemons do not make by themselves, try it again.
        """
        runs = time.monotonic() + _QUEUE_RUN

        def empty() -> bool:
            nonlocal runs
            if (waiting := bool(self.incoming.queued() or self.delivery.queued())) and time.monotonic() > runs:
                self.incoming.flush()
                self.delivery.flush()
                runs = time.monotonic() + _QUEUE_RUN
            return not waiting

        wait_until(empty, timeout, "two empty queues")

    def keep(self) -> None:
        """Leaves all programs running when the context ends; `ending.end_recorded(folder)` ends them."""
        self.kept = True
        guard.release(self.folder)
