"""The clamd engine: has a message scanned by the first of its servers that gives a verdict.

It knows no protocol (`reply`, `client`), holds no connection (`server`), does not decide which server is up (`watch`)
and does not select it (`engines.pool`).
An OK counts only if the server had room to unpack the message (`room`), and after a failure or restart of the server
only if a self-test confirms it.
"""

from collections.abc import Sequence
from time import monotonic, sleep
from typing import assert_never

from miltscan.core.address import Address
from miltscan.core.message import Message
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.engines.base import Observer, Tick
from miltscan.engines.clamd.reply import ClamdReply, Clean, Found
from miltscan.engines.clamd.room import Glance
from miltscan.engines.clamd.server import PROBATION, ClamdServer
from miltscan.engines.clamd.watch import ClamdWatch
from miltscan.engines.pool import POLL, ServerPool
from miltscan.engines.reply import Failed, Limited
from miltscan.engines.watch import PATIENCE, AbandonedError

_TICK = 0.25  # seconds between two progress messages to the MTA


class ClamdEngine(ServerPool[ClamdServer]):
    """See `ServerPool`; `canary_interval` in seconds. Up to `sessions` connections to each server are kept open."""

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
        mine = [ClamdServer(name, address, sessions) for address in dict.fromkeys(servers)]
        self._watches = {server.name: ClamdWatch(server, canary_interval, observer) for server in mine}
        super().__init__(name, mine, self._watches, observer, required=required)

    def ask(self, server: ClamdServer, message: Message, deadline: float, tick: Tick) -> Verdict:
        """The verdict of one clamd."""
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
            sleep(POLL)
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


class ScanWait:
    """The tick of a scan: it looks at the folder each time, and calls the tick of the message every `_TICK` seconds.

    A scan that takes long requests a self-test, and ends when the server fails it.
    """

    __slots__ = ("_began", "_glance", "_next", "_server", "_tick", "_watch")

    def __init__(self, server: ClamdServer, watch: ClamdWatch, glance: Glance | None, tick: Tick) -> None:
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
