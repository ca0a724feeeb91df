"""Decides whether a clamd is up, by sending it canaries; that says nothing about any message.

A server is up from a canary that found the test signature until one that did not. Each has a thread of its own, so that
a hung one delays no other's canary.
"""

import os
from functools import partial
from threading import Event, Thread
from time import monotonic

from miltscan.core.verdict import Fault
from miltscan.engines.base import Observer
from miltscan.engines.clamd.canary import canary_mail, missed, spooled
from miltscan.engines.clamd.client import ping, stats, test_signature, version
from miltscan.engines.clamd.server import IDLE, AbandonedError, ClamdServer
from miltscan.engines.wire import DeadlineError, targets

PATIENCE = 2.0
"""Seconds of silence, to the canary and to all scans, after which a server has to answer PING or is hung."""
BUSY = 60.0
"""Seconds that a canary waits at a server that is alive: one with so much work that mail would wait no less."""
RETRY = 1.0
"""Seconds between two canaries for a server that is down."""
_SHORTEST_GAP = 0.2  # seconds between canaries that failing scans ask for: no message may make us flood a server
_STOP_TIMEOUT = 2.0  # seconds; the thread is a daemon and does not outlive the process


class ServerWatch:
    """Sends canaries to one server, every `interval` seconds while it is up."""

    def __init__(self, server: ClamdServer, interval: float, observer: Observer) -> None:
        self._server = server
        self._interval = interval
        self._patience = min(interval, PATIENCE)
        self._observer = observer
        self._attachment = test_signature()
        self._stopping = Event()
        self._wake = Event()
        self._thread = Thread(target=self._run, name="clamd-canary", daemon=True)

    def start(self) -> None:
        """Starts the thread; the first canary is `probe`."""
        self._thread.start()

    def stop(self) -> None:
        """Tells the thread to end, also in the middle of a canary."""
        self._stopping.set()
        self._wake.set()

    def join(self) -> None:
        """Waits for the thread to end, but not long."""
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT)

    def request_self_test(self) -> None:
        """An exchange with the server failed, or takes long: a canary now. Cheap, for any thread."""
        self._server.due = min(self._server.due, self._server.tested + _SHORTEST_GAP)
        self._wake.set()

    def probe(self) -> None:
        """One canary. A server that hangs takes twice the patience, and its name as long as the resolver does."""
        server = self._server
        server.tested = monotonic()
        server.due = server.tested + self._interval  # set first: who doubts meanwhile gets another canary
        server.suspect = False
        why = self._attempt(server)
        if self._stopping.is_set():
            return
        self._tell(server, why)
        if why:
            server.due = min(server.due, monotonic() + RETRY)
        else:
            self._look_for_reload(server)
            self._observer.load(
                server.engine, server.name, stats(server.target, self._patience) if server.target else None
            )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            if self._server.due <= monotonic():
                self._probe_safely()
            self._wake.wait(max(0.0, self._server.due - monotonic()))

    def _probe_safely(self) -> None:
        """An observer that fails must not end the watch: a server that nobody watches would be believed for ever."""
        try:
            self.probe()
        except Exception:  # noqa: BLE001  # see above
            self._server.up = False

    def _attempt(self, server: ClamdServer) -> str:
        """Empty, or why the canary was missed. A server that is down may have moved: its name is looked up again."""
        try:
            if server.up:
                return self._send_canary(server)
            why = "its address is not known"
            for target in targets(server.address):
                server.forget(target)
                if not (why := self._send_canary(server)):
                    break
        except Exception as error:  # noqa: BLE001  # no memory, no descriptors: what cannot be shown is not believed
            return f"{type(error).__name__}: {error}"
        return why

    def _send_canary(self, server: ClamdServer) -> str:
        began = monotonic()
        with spooled(canary_mail(os.urandom(16).hex().encode(), self._attachment)) as descriptor:
            # over a new connection: where clamd serves its sessions and accepts nobody else, messages wait in vain
            return missed(server.exchange(descriptor, began + BUSY, partial(self._wait, server, began), anew=True))

    def _wait(self, server: ClamdServer, began: float) -> None:
        """The canary's tick. A server full of work answers late, but it answers others, or PING; a hung one nobody.

        Without that a burst of large mail would look like a hang, and giving up its scans would only add to the work:
        clamd goes on with a scan whose client has gone (measured).
        """
        if self._stopping.is_set():
            raise AbandonedError("stopping")
        if monotonic() - max(began, server.answered) <= self._patience:
            return
        if server.target is None or not ping(server.target, self._patience):
            raise DeadlineError
        server.answered = monotonic()

    def _tell(self, server: ClamdServer, why: str) -> None:
        up = not why
        changed = server.up is not up or not server.told
        server.up, server.told = up, True
        server.sweep(IDLE if up else 0.0)
        if up:
            self._observer.canary_passed(server.engine, server.name)
        elif changed:
            self._observer.server_fault(server.engine, server.name, Fault.CANARY, why)
        if changed:
            self._observer.server_state(server.engine, server.name, up=up, why=why or "found the test signature")

    def _look_for_reload(self, server: ClamdServer) -> None:
        """Tells of signatures that are new; they have to prove themselves at once."""
        latest = version(server.target, self._patience) if server.target else None
        if latest is None or latest == server.version:
            return
        if server.version is not None:
            self.request_self_test()
        server.version = latest
        if latest.signatures is not None and latest.published is not None:
            self._observer.signatures(server.engine, server.name, latest.signatures, latest.published)
