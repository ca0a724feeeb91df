"""Shows whether a clamd really scans: a mail whose verdict is known goes the way of real mail, again and again.

It is needed because clamd answers OK when it could not scan: its temporary folder missing, unwritable or full
(measured). This module alone decides whether a server is up; that says nothing about any message.
"""

import os
from base64 import encodebytes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from time import monotonic

from miltscan.core.message import PREFACE
from miltscan.core.verdict import Fault
from miltscan.engines.base import Observer
from miltscan.engines.clamd_client import test_signature, version
from miltscan.engines.clamd_reply import Clean, Failed, Found, Limited, Reply
from miltscan.engines.clamd_server import ENGINE, AbandonedError, Server
from miltscan.engines.wire import DeadlineError, targets

PATIENCE = 5.0
"""Seconds of silence after which a server is taken for hung, if no scan gets a reply from it either."""
RETRY = 1.0
"""Seconds between two canaries for a server that is down."""
_SHORTEST_GAP = 0.2  # seconds between canaries that failing scans ask for: no message may make us flood a server
_BUSY_INTERVALS = 3  # a busy server, which answers scans but not its canary, is believed for so many intervals
_STOP_TIMEOUT = 2.0  # seconds; the thread is a daemon and does not outlive the process

_MAIL = b"""\
From: canary@miltscan.invalid
To: canary@miltscan.invalid
Subject: miltscan canary %(mark)s
Message-ID: <%(mark)s@miltscan.invalid>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="%(mark)s"

--%(mark)s
Content-Type: text/plain

This mail shows that the test signature is found.

--%(mark)s
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

%(attachment)s
--%(mark)s--
"""


def canary_mail(mark: bytes, attachment: bytes) -> bytes:
    """A mail as the spool holds it, that clamd must decode to find the attachment.

    `mark` (fit for a boundary) must differ each time: what clamd once took for clean, it answers from a cache.
    """
    mail = _MAIL % {b"mark": mark, b"attachment": encodebytes(attachment)}
    return PREFACE + mail.replace(b"\n", b"\r\n")


@contextmanager
def spooled(data: bytes) -> Iterator[int]:
    """A descriptor of a memory file with this content, as the spool of a small message is one."""
    descriptor = os.memfd_create("miltscan-canary")
    try:
        os.write(descriptor, data)
        yield descriptor
    finally:
        os.close(descriptor)


def missed(reply: Reply) -> str:
    """Why `reply` to the canary shows a broken server, in words for the log; empty if it found the test signature."""
    match reply:
        case Found(signature) if "eicar" in signature.lower():  # whatever a database calls it
            return ""
        case Found(signature):
            return f"found {signature} in place of the test signature"
        case Clean():
            return "did not find the test signature"
        case Limited(limit, detail):
            return f"did not scan the test signature: {limit}, {detail}"
        case Failed(fault, detail):
            return f"{fault}: {detail}"


class Watch:
    """Sends canaries to the servers, every `interval` seconds to each that is up, from one thread."""

    def __init__(self, servers: Sequence[Server], interval: float, observer: Observer) -> None:
        self._servers = servers
        self._interval = interval
        self._patience = min(interval, PATIENCE)
        self._observer = observer
        self._attachment = test_signature()
        self._stopping = Event()
        self._wake = Event()
        self._thread = Thread(target=self._run, name="clamd-canary", daemon=True)

    def start(self) -> None:
        """A first canary for each server, then the thread for all others."""
        self.probe()
        self._thread.start()

    def probe(self) -> None:
        """One canary for each server; takes no longer than the patience for each (and the resolver)."""
        for server in self._servers:
            self._test(server)

    def stop(self) -> None:
        """Ends the thread, also in the middle of a canary."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT)

    def doubt(self, server: Server) -> None:
        """An exchange with the server failed, or takes long: a canary now. Cheap, for any thread."""
        server.due = min(server.due, server.tested + _SHORTEST_GAP)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            for server in self._servers:
                if server.due <= monotonic():
                    self._test_safely(server)
            self._wake.wait(max(0.0, min(server.due for server in self._servers) - monotonic()))

    def _test_safely(self, server: Server) -> None:
        """An observer that fails must not end the watch: a server that nobody watches would be believed for ever."""
        try:
            self._test(server)
        except Exception:  # noqa: BLE001  # see above
            server.up = False

    def _test(self, server: Server) -> None:
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

    def _attempt(self, server: Server) -> str:
        """Empty, or why the canary was missed. A server that is down may have moved: its name is looked up again."""
        try:
            if server.up:
                return self._fly(server)
            why = "its address is not known"
            for target in targets(server.address):
                server.forget(target)
                if not (why := self._fly(server)):
                    break
        except Exception as error:  # noqa: BLE001  # no memory, no descriptors: what cannot be shown is not believed
            return f"{type(error).__name__}: {error}"
        return why

    def _fly(self, server: Server) -> str:
        began = monotonic()
        deadline = began + _BUSY_INTERVALS * self._interval
        with spooled(canary_mail(os.urandom(16).hex().encode(), self._attachment)) as descriptor:
            return missed(server.exchange(descriptor, deadline, partial(self._wait, server, began)))

    def _wait(self, server: Server, began: float) -> None:
        """The canary's tick. A server full of work answers late but answers others; a hung one answers nobody."""
        if self._stopping.is_set():
            raise AbandonedError("stopping")
        if monotonic() - max(began, server.answered) > self._patience:
            raise DeadlineError

    def _tell(self, server: Server, why: str) -> None:
        up = not why
        changed = server.up is not up or not server.told
        server.up, server.told = up, True
        if up:
            self._observer.canary_passed(ENGINE, server.name)
        elif changed:
            self._observer.server_fault(ENGINE, server.name, Fault.CANARY, why)
        if changed:
            self._observer.server_state(ENGINE, server.name, up=up, why=why or "found the test signature")

    def _look_for_reload(self, server: Server) -> None:
        """Tells of signatures that are new; they have to prove themselves at once."""
        latest = version(server.target, self._patience) if server.target else None
        if latest is None or latest == server.version:
            return
        if server.version is not None:
            self.doubt(server)
        server.version = latest
        if latest.signatures is not None and latest.published is not None:
            self._observer.signatures(ENGINE, server.name, latest.signatures, latest.published)
