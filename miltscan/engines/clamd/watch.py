"""Decides whether a clamd is up by its self-tests, each of which is a canary mail; it knows no messages.

A server is up from a self-test that it passes until one that it fails. Each server has its own thread, so that a
hung server does not delay the self-test of another.

The first canary, every third one and those after a doubt are large ones: a server whose temporary folder cannot be seen
from here, or that is short of memory, detects small ones and says OK to the rest.
"""

import os
from functools import partial
from threading import Event, Thread
from time import monotonic

from miltscan.core.verdict import Fault
from miltscan.engines.base import Observer
from miltscan.engines.clamd.canary import LARGE, canary_mail, large_attachment, missed, spooled
from miltscan.engines.clamd.client import ping, stats, test_signature, version
from miltscan.engines.clamd.reply import Clean
from miltscan.engines.clamd.server import IDLE, AbandonedError, ClamdServer
from miltscan.engines.wire import DeadlineError, targets

PATIENCE = 2.0
"""Seconds without a reply to the canary or to any scan, after which a server must answer PING or counts as hung."""
BUSY = 60.0
"""Seconds that a canary waits at a server that answers PING: it is so busy that mail would wait as long."""
RETRY = 1.0
"""Seconds between two self-tests of a server that is down."""
CALM = 60.0
"""Seconds without a message that found no room, after which a server is no longer degraded."""
_LARGE_EVERY = 3  # self-tests; a large one costs clamd a quarter of a second with all signatures, in each worker
_LARGE_GAP = 0.5  # seconds, at least, between two of a server that is up
_PROOFS = 3  # large canaries that a server must pass after it missed one: perhaps only some of its threads lack memory
_CAUSES = "it lacks memory or disk space, or its MaxFileSize or MaxScanSize is below 5M"
_SHORTEST_GAP = 0.2  # seconds between self-tests that failing scans request: no message may make us flood a server
_STOP_TIMEOUT = 2.0  # seconds; the thread is a daemon and does not outlive the process


class ServerWatch:
    """Tests one server, every `interval` seconds while it is up."""

    def __init__(self, server: ClamdServer, interval: float, observer: Observer) -> None:
        self._server = server
        self._interval = interval
        self._patience = min(interval, PATIENCE)
        self._observer = observer
        self._attachment = test_signature()
        self._archive = b""  # the attachment of large canaries, made once: it takes a hundredth of a second
        self._large_owed = 1  # self-tests from now on
        self._large_sent = 0.0
        self._tests = 0
        self._proof = False  # whether the last self-test leaves no doubt, if it was passed
        self._unseen: str | None = None  # as reported
        self._stopping = Event()
        self._wake = Event()
        self._thread = Thread(target=self._run, name="clamd-canary", daemon=True)

    def start(self) -> None:
        """Start the thread, which begins with a self-test."""
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end, also during a self-test."""
        self._stopping.set()
        self._wake.set()

    def join(self) -> None:
        """Wait up to `_STOP_TIMEOUT` for the thread to end."""
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT)

    @property
    def runs(self) -> bool:
        """Whether its thread tests the server, on its own and on request."""
        return self._thread.is_alive()

    def request_self_test(self) -> None:
        """Test the server now, as an exchange with it failed or takes long. Cheap; may be called from any thread."""
        self._server.due = min(self._server.due, self._server.tested + _SHORTEST_GAP)
        self._wake.set()

    def doubt(self) -> None:
        """Test the server now, by a large canary; as `request_self_test`."""
        self._large_owed = max(1, self._large_owed)
        self.request_self_test()

    def probe(self) -> None:
        """Test the server once. A hung one takes twice `PATIENCE`, and an unknown name as long as the resolver."""
        server = self._server
        server.tested = monotonic()
        server.due = server.tested + self._interval  # before the test: a request during it leads to another one
        server.suspect = False
        why = self._attempt(server)
        if self._stopping.is_set():
            return
        if not why and self._proof:
            server.proven = server.tested
        self._report(server, why)
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
        """An observer that fails must not end the thread: a server that is not tested would stay up for ever."""
        try:
            self.probe()
        except Exception:  # noqa: BLE001 - see above
            self._server.up = False

    def _attempt(self, server: ClamdServer) -> str:
        """Why the self-test failed, or empty. The name of a server that is down is looked up again."""
        try:
            if server.up:
                return self._send_canary(server)
            why = "its host name has no address"
            for target in targets(server.address):
                server.forget(target)
                if not (why := self._send_canary(server)):
                    break
        except Exception as error:  # noqa: BLE001 - no memory, no descriptors: a server that cannot be tested is down
            return f"{type(error).__name__}: {error}"
        return why

    def _send_canary(self, server: ClamdServer) -> str:
        """Why the server failed a canary, or empty."""
        server.room.survey()
        glance = server.room.glance(0)
        began = monotonic()
        large = self._is_large_due(began)
        with spooled(self._mail(large=large)) as descriptor:
            # on a new connection: a clamd that serves its open sessions but accepts no other must fail the test
            reply = server.exchange(descriptor, began + BUSY, partial(self._wait, server, began), new=True)
        why = missed(reply)
        if large:
            self._large_sent = began
            lied = isinstance(reply, Clean)
            self._large_owed = _PROOFS if lied else 1 if why else max(0, self._large_owed - 1)
            if lied:
                self._archive = b""  # clamd may have remembered this one as clean
                why += f" in {LARGE >> 20} MiB that it had to unpack: {_CAUSES}"
            elif not why and self._large_owed:
                why = f"must detect it in {LARGE >> 20} MiB {self._large_owed} more times, because it missed it lately"
        self._proof = large or not self._large_owed
        server.room.survey()  # again: it may have started only now
        shortage = glance.look() if glance else ""
        return f"{shortage}; {why}" if why and shortage else why or shortage  # first what was seen, then its effect

    def _mail(self, *, large: bool) -> bytes:
        mark = os.urandom(16).hex().encode()
        if not large:
            return canary_mail(mark, self._attachment)
        self._archive = self._archive or large_attachment(self._attachment)
        return canary_mail(mark, self._archive, b"large-canary")

    def _is_large_due(self, now: float) -> bool:
        """A server that is up need not show more often than every `_LARGE_GAP` seconds that it can unpack a lot."""
        self._tests += 1
        if self._server.up and now - self._large_sent < _LARGE_GAP:
            return False
        return self._large_owed > 0 or self._tests % _LARGE_EVERY == 0

    def _wait(self, server: ClamdServer, began: float) -> None:
        """The tick of a self-test. A busy server answers late, but it answers other scans or PING; a hung one does not.

        Otherwise a burst of large mail would look like a hang, and ending its scans would only add to the work: clamd
        continues a scan whose client has gone.
        """
        if self._stopping.is_set():
            raise AbandonedError("stopping")
        if monotonic() - max(began, server.answered) <= self._patience:
            return
        if server.target is None or not ping(server.target, self._patience):
            raise DeadlineError
        server.answered = monotonic()

    def _report(self, server: ClamdServer, why: str) -> None:
        up = not why
        changed = server.up is not up or not server.reported
        server.up, server.reported = up, True
        server.sweep(IDLE if up else 0.0)
        if up:
            self._observer.canary_passed(server.engine, server.name)
        elif changed:
            self._observer.server_fault(server.engine, server.name, Fault.CANARY, why)
        if server.room.unseen != self._unseen:
            self._unseen = server.room.unseen
            self._observer.server_unwatched(server.engine, server.name, self._unseen)
        if server.degraded and up and monotonic() - server.unable > CALM:
            server.degraded = ""
            self._observer.server_degraded(server.engine, server.name, "")
        if changed:
            self._observer.server_state(server.engine, server.name, up=up, why=why or "detected the test signature")

    def _look_for_reload(self, server: ClamdServer) -> None:
        """Report a new signature database, and request a self-test with it."""
        latest = version(server.target, self._patience) if server.target else None
        if latest is None or latest == server.version:
            return
        if server.version is not None:
            self.request_self_test()
        server.version = latest
        if latest.signatures is not None and latest.published is not None:
            self._observer.signatures(server.engine, server.name, latest.signatures, latest.published)
