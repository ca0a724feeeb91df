"""Decides whether a server of an engine is up by its self-tests; it knows no engine and no messages.

A server is up from a self-test that it passes until one that it fails. Each server has its own thread, so that a
hung server does not delay the self-test of another. An engine says what its self-test is: `ServerWatch.attempt`.
"""

from threading import Event, Thread
from time import monotonic
from typing import Generic, TypeVar

from miltscan.core.address import Address
from miltscan.core.verdict import Fault
from miltscan.engines.base import Observer
from miltscan.engines.wire import Target, targets

PATIENCE = 2.0
"""Seconds without a reply to a self-test or to any scan, after which a server must show that it lives, or is hung."""
RETRY = 1.0
"""Seconds between two self-tests of a server that is down."""
_SHORTEST_GAP = 0.2  # seconds between self-tests that failing scans request: no message may make us flood a server
_STOP_TIMEOUT = 2.0  # seconds; the thread is a daemon and does not outlive the process


class AbandonedError(Exception):
    """Raised by a tick to end the wait for a server that will not reply."""


class Server:
    """State shared by scans and self-tests. Each field is one reference, so that no lock is needed.

    Only the self-test writes `up`. `reported`: an observer was notified of it. `suspect`: an exchange failed since the
    last self-test. In time.monotonic seconds: `tested` is when a self-test last began, `due` when the next one begins.
    """

    __slots__ = ("address", "due", "engine", "name", "reported", "suspect", "target", "tested", "up")

    def __init__(self, engine: str, address: Address) -> None:
        self.engine = engine
        self.address = address
        self.name = str(address)
        self.target: Target | None = None
        self.up = False
        self.reported = False
        self.suspect = False
        self.tested = self.due = 0.0

    def forget(self, target: Target) -> None:
        """Begin with what may be another server, at the next address of its name."""
        self.target = target

    def sweep(self, age: float) -> None:
        """Close the connections that were not used for `age` seconds; here none is kept."""


AnyServer = TypeVar("AnyServer", bound=Server)


class ServerWatch(Generic[AnyServer]):
    """Tests one server, every `interval` seconds while it is up. An engine completes it."""

    def __init__(self, server: AnyServer, interval: float, observer: Observer) -> None:
        self._server = server
        self._interval = interval
        self._patience = min(interval, PATIENCE)
        self._observer = observer
        self._stopping = Event()
        self._wake = Event()
        self._thread = Thread(target=self._run, name="engine-canary", daemon=True)

    def attempt(self) -> str:
        """Send the self-test to the server's target; why it failed, or empty. The engine's own."""
        raise NotImplementedError

    def passed(self) -> None:
        """The server passed its self-test just now, and this was reported."""

    def reporting(self, *, up: bool) -> None:
        """The result of a self-test is reported just now."""

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
        """Test the server now, as thoroughly as its engine can; as `request_self_test`."""
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
        self._report(server, why)
        if why:
            server.due = min(server.due, monotonic() + RETRY)
        else:
            self.passed()

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

    def _attempt(self, server: AnyServer) -> str:
        """Why the self-test failed, or empty. The name of a server that is down is looked up again."""
        try:
            if server.up:
                return self.attempt()
            why = "its host name has no address"
            for target in targets(server.address):
                server.forget(target)
                if not (why := self.attempt()):
                    break
        except Exception as error:  # noqa: BLE001 - no memory, no descriptors: a server that cannot be tested is down
            return f"{type(error).__name__}: {error}"
        return why

    def _report(self, server: AnyServer, why: str) -> None:
        up = not why
        changed = server.up is not up or not server.reported
        server.up, server.reported = up, True
        if up:
            self._observer.canary_passed(server.engine, server.name)
        elif changed:
            self._observer.server_fault(server.engine, server.name, Fault.CANARY, why)
        self.reporting(up=up)
        if changed:
            self._observer.server_state(server.engine, server.name, up=up, why=why or "detected the test signature")
