"""The clamd engine: has a message scanned by the first of its servers that gives a verdict.

It knows no protocol (`reply`, `client`), holds no connection (`server`) and does not decide which server is up
(`watch`). A server is used only while it passes its self-test (the canary). One that fails at a message is used last
until its next self-test. Only the self-test decides whether it is down: no message can take a server away from others.
An OK counts only if the server had room to unpack the message (`room`), and after a failure or restart of the server
only if a self-test confirms it.
"""

from collections.abc import Sequence
from itertools import count
from time import monotonic, sleep
from typing import assert_never
from weakref import finalize

from miltscan.core.address import Address
from miltscan.core.message import Message
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.engines.base import Observer, Tick, at_once
from miltscan.engines.clamd.reply import ClamdReply, Clean, Failed, Found, Limited
from miltscan.engines.clamd.room import Glance
from miltscan.engines.clamd.server import PROBATION, AbandonedError, ClamdServer
from miltscan.engines.clamd.watch import PATIENCE, ServerWatch

_FIRST_TESTS = 3.0  # seconds that a start may wait for the first self-tests; a server in order takes milliseconds
_POLL = 0.005  # seconds between two looks at them
_TICK = 0.25  # seconds between two progress messages to the MTA


class ClamdEngine:
    """An engine (see `base.Engine`) for many threads; `canary_interval` in seconds.

    Up to `sessions` connections to each server are kept open between scans. Until `start` (for a service, ended by
    `stop`) or `probe` (for a command that scans a few messages) every server counts as down.
    """

    def __init__(  # noqa: PLR0913 - a row of settings each
        self,
        name: str,
        servers: Sequence[Address],
        canary_interval: float,
        observer: Observer,
        sessions: int = 0,
        *,
        required: bool = True,
    ) -> None:
        self.name = name
        self.required = required
        self._no_server = Verdict.unscanned(name, Limit.NO_ENGINE, "no server passes its self-test")
        self._servers = [ClamdServer(name, address, sessions) for address in dict.fromkeys(servers)]
        self._observer = observer
        self._watches = {server.name: ServerWatch(server, canary_interval, observer) for server in self._servers}
        self._turn = count()
        for server in self._servers:
            finalize(self, server.sweep, 0.0)

    def start(self) -> None:
        """Keep testing each server in its own daemon thread; return when one is up, all are tested, or time is up.

        The threads end with `stop`, or with the last reference to the engine: after a reload the last message that
        began with it must not be scanned by a server that is no longer tested.
        """
        for watch in self._watches.values():
            watch.start()
            finalize(self, watch.stop)
        # Wait a little: otherwise each restart would tempfail the mail of its first moment. Never for long: a server
        # that answers PING but scans nothing fails only after a minute, and one without a resolver for its name later.
        given_up = monotonic() + _FIRST_TESTS
        while monotonic() < given_up and not self.ready and not all(server.reported for server in self._servers):
            sleep(_POLL)

    def stop(self) -> None:
        """End the threads; open scans go on."""
        for watch in self._watches.values():
            watch.stop()
        for watch in self._watches.values():
            watch.join()

    def probe(self) -> None:
        """Test every server once, all at the same time."""
        at_once([watch.probe for watch in self._watches.values()])

    @property
    def ready(self) -> bool:
        """Whether a server passed its last self-test."""
        return any(server.up for server in self._servers)

    def scan(self, message: Message, deadline: float, tick: Tick) -> Verdict:
        """The first verdict of a server that was able to scan, else the last one; NO_ENGINE if no server is up."""
        verdict = self._no_server
        try:
            for server in self._in_rotation():
                if server.up:  # it may have gone down while another one was asked
                    verdict = self._ask(server, message, deadline, tick)
                    if not (isinstance(verdict.reason, Fault) or verdict.reason is Limit.ENGINE_UNABLE):
                        break
        except Exception as error:  # noqa: BLE001 - an engine never raises
            return Verdict.error(self.name, Fault.EXCEPTION, f"{type(error).__name__}: {error}")
        return verdict

    def _in_rotation(self) -> list[ClamdServer]:
        """The servers, beginning with the next one in rotation; those that failed lately come last."""
        servers = self._servers
        if len(servers) <= 1:
            return servers
        first = next(self._turn) % len(servers)
        return sorted(servers[first:] + servers[:first], key=lambda server: server.suspect)

    def _ask(self, server: ClamdServer, message: Message, deadline: float, tick: Tick) -> Verdict:
        glance = server.room.glance(message.size)
        wait = ScanWait(server, self._watches[server.name], glance, tick)
        reply = server.exchange(message.content.fileno(), deadline, wait)
        if not isinstance(reply, Clean | Found):
            message.content.retain()  # a clamd that did not reply goes on scanning
        if isinstance(reply, Clean) and glance and (why := glance.look()):
            self._note_shortage(server, why)
            return Verdict.unscanned(self.name, Limit.ENGINE_UNABLE, why, server.name)
        if isinstance(reply, Clean) and server.proven <= server.doubted and not self._confirmed(server, wait, deadline):
            return Verdict.unscanned(self.name, Limit.ENGINE_UNABLE, "no self-test confirmed its OK", server.name)
        return self._verdict(server, reply)

    def _confirmed(self, server: ClamdServer, wait: Tick, deadline: float) -> bool:
        """Whether the server, which failed or started again, passes in time a self-test that begins after this moment.

        Without that its OK may mean that it could not scan: if it lacks memory, it says OK between two failures.
        """
        watch, said = self._watches[server.name], monotonic()
        while server.proven < said:
            if not server.up or monotonic() >= deadline:
                return False
            watch.doubt()
            sleep(_POLL)
            if not watch.runs and server.due <= monotonic():  # in a command, which has no threads
                watch.probe()
            try:
                wait()
            except AbandonedError:
                return False
        return True

    def _verdict(self, server: ClamdServer, reply: ClamdReply) -> Verdict:
        match reply:
            case Clean():
                server.answered = monotonic()
                return server.clean
            case Found(signature):
                server.answered = monotonic()
                return Verdict.infected(self.name, signature, server.name)
            case Limited(limit, detail):
                if limit is Limit.TIMEOUT:
                    self._suspect(server)
                return Verdict.unscanned(self.name, limit, detail, server.name)
            case Failed(fault, detail):
                gone = fault in {Fault.CONNECT, Fault.CLOSED} or "memory" in detail
                server.doubted = max(server.doubted, monotonic() + (PROBATION if gone else 0.0))
                self._suspect(server)
                self._observer.server_fault(self.name, server.name, fault, detail)
                return Verdict.error(self.name, fault, detail, server.name)
        assert_never(reply)

    def _note_shortage(self, server: ClamdServer, why: str) -> None:
        server.unable = monotonic()
        self._suspect(server)
        if not server.degraded:
            server.degraded = why
            self._observer.server_degraded(self.name, server.name, why)

    def _suspect(self, server: ClamdServer) -> None:
        server.suspect = True
        self._watches[server.name].doubt()


class ScanWait:
    """The tick of a scan: it looks at the folder each time, and calls the tick of the message every `_TICK` seconds.

    A scan that takes long requests a self-test, and ends when the server fails it.
    """

    __slots__ = ("_began", "_glance", "_next", "_server", "_tick", "_watch")

    def __init__(self, server: ClamdServer, watch: ServerWatch, glance: Glance | None, tick: Tick) -> None:
        self._server = server
        self._watch = watch
        self._glance = glance
        self._tick = tick
        self._began = monotonic()
        self._next = self._began + _TICK

    def __call__(self) -> None:
        """Look, tick, and end the wait for a server that is down; raises AbandonedError."""
        if self._glance:
            self._glance.look()
        now = monotonic()
        if now < self._next:
            return
        self._next = now + _TICK
        self._tick()
        if not self._server.up:
            raise AbandonedError("the server failed its self-test during the scan")
        if now - max(self._began, self._server.tested) > PATIENCE:
            self._watch.request_self_test()
