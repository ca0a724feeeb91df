"""The self-test of a clamd: each one is a canary mail. `engines.watch` says when it is due and what follows.

The first canary, every third one and those after a doubt are large ones: a server whose temporary folder cannot be seen
from here, or that is short of memory, detects small ones and says OK to the rest.
"""

import os
from functools import partial
from time import monotonic

from miltscan.core.faults import CANNOT_START, may_not_run
from miltscan.engines.base import Observer
from miltscan.engines.clamd.canary import LARGE, canary_mail, large_attachment, missed
from miltscan.engines.clamd.client import ping, stats, test_signature, version
from miltscan.engines.clamd.reply import Clean
from miltscan.engines.clamd.server import IDLE, ClamdServer
from miltscan.engines.clamd.start import why_no_start
from miltscan.engines.files import spooled
from miltscan.engines.watch import AbandonedError, ServerWatch
from miltscan.engines.wire import DeadlineError

BUSY = 60.0
"""Seconds that a canary waits at a server that answers PING: it is so busy that mail would wait as long."""
CALM = 60.0
"""Seconds without a message that found no room, after which a server is no longer degraded."""
_LARGE_EVERY = 3  # self-tests; a large one costs clamd a quarter of a second with all signatures, in each worker
_LARGE_GAP = 0.5  # seconds, at least, between two of a server that is up
_PROOFS = 3  # large canaries that a server must pass after it missed one: perhaps only some of its threads lack memory
_CAUSES = "it lacks memory or disk space, or its MaxFileSize or MaxScanSize is below 5M"


class ClamdWatch(ServerWatch[ClamdServer]):
    """Tests one clamd."""

    def __init__(self, server: ClamdServer, interval: float, observer: Observer) -> None:
        super().__init__(server, interval, observer)
        self._attachment = test_signature()
        self._archive = b""  # the attachment of large canaries, made once: it takes a hundredth of a second
        self._large_owed = 1  # self-tests from now on
        self._large_sent = 0.0
        self._tests = 0
        self._proof = False  # whether the last self-test leaves no doubt, if it was passed
        self._unseen: str | None = None  # as reported

    def doubt(self) -> None:
        """Test the server now, by a large canary; as `request_self_test`."""
        self._large_owed = max(1, self._large_owed)
        self.request_self_test()

    def passed(self) -> None:
        """Look for a new signature database, and report the load."""
        server = self._server
        self._look_for_reload(server)
        self._observer.load(server.engine, server.name, stats(server.target, self._patience) if server.target else None)

    def attempt(self) -> str:
        """Why the server failed a canary, or empty."""
        server = self._server
        why = self._send_canary(server)
        if may_not_run(why) and (cause := why_no_start(server.address)):
            why = f"{CANNOT_START}{cause}"
        if not why and self._proof:
            server.proven = server.tested
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

    def reporting(self, *, up: bool) -> None:
        """Report what is known of its temporary folder."""
        server = self._server
        server.sweep(IDLE if up else 0.0)
        if server.room.unseen != self._unseen:
            self._unseen = server.room.unseen
            self._observer.server_unwatched(server.engine, server.name, self._unseen)
        if server.degraded and up and monotonic() - server.unable > CALM:
            server.degraded = ""
            self._observer.server_degraded(server.engine, server.name, "")

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
