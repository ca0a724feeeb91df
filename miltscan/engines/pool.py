"""The servers of an engine: each one tested, used in rotation, and the next one used where one fails. No protocol.

A server is used only while it passes its self-test. One that fails at a message is used last until its next
self-test. Only the self-test decides whether it is down: no message can take a server away from others.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from time import monotonic, sleep
from typing import Generic
from weakref import finalize

from miltscan.core.message import Message
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.engines.base import Observer, Tick, at_once
from miltscan.engines.watch import AnyServer, ServerWatch

_FIRST_TESTS = 3.0  # seconds that a start may wait for the first self-tests; a server in order takes milliseconds
POLL = 0.005
"""Seconds between two looks at a self-test."""


class ServerPool(Generic[AnyServer]):
    """An engine (see `base.Engine`) for many threads, but for `ask`, its exchange with one server.

    Until `start` (for a service, ended by `stop`) or `probe` (for a command that scans a few messages) every server
    counts as down. `watches` has the watch of each server by its name.
    """

    def __init__(
        self,
        name: str,
        servers: Sequence[AnyServer],
        watches: Mapping[str, ServerWatch[AnyServer]],
        observer: Observer,
        *,
        required: bool,
    ) -> None:
        self.name = name
        self.required = required
        self._no_server = Verdict.unscanned(name, Limit.NO_ENGINE, "no server passes its self-test")
        self._servers = servers
        self._observer = observer
        self._pool = watches
        self._turn = count()
        for server in servers:
            finalize(self, server.sweep, 0.0)

    def ask(self, server: AnyServer, message: Message, deadline: float, tick: Tick) -> Verdict:
        """The verdict of one server. The engine's own."""
        raise NotImplementedError

    def start(self) -> None:
        """Keep testing each server in its own daemon thread; return when one is up, all are tested, or time is up.

        The threads end with `stop`, or with the last reference to the engine: after a reload the last message that
        began with it must not be scanned by a server that is no longer tested.
        """
        for watch in self._pool.values():
            watch.start()
            finalize(self, watch.stop)
        # Wait a little: otherwise each restart would tempfail the mail of its first moment. Never for long: a server
        # that answers PING but scans nothing fails only after a minute, and one without a resolver for its name later.
        given_up = monotonic() + _FIRST_TESTS
        while monotonic() < given_up and not self.ready and not all(server.reported for server in self._servers):
            sleep(POLL)

    def stop(self) -> None:
        """End the threads; open scans go on."""
        for watch in self._pool.values():
            watch.stop()
        for watch in self._pool.values():
            watch.join()

    def probe(self) -> None:
        """Test every server once, all at the same time."""
        at_once([watch.probe for watch in self._pool.values()])

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
                    verdict = self.ask(server, message, deadline, tick)
                    if not (isinstance(verdict.reason, Fault) or verdict.reason is Limit.ENGINE_UNABLE):
                        break
        except Exception as error:  # noqa: BLE001 - an engine never raises
            return Verdict.error(self.name, Fault.EXCEPTION, f"{type(error).__name__}: {error}")
        return verdict

    def _in_rotation(self) -> Sequence[AnyServer]:
        """The servers, beginning with the next one in rotation; those that failed lately come last."""
        servers = self._servers
        if len(servers) <= 1:
            return servers
        first = next(self._turn) % len(servers)
        return sorted([*servers[first:], *servers[:first]], key=lambda server: server.suspect)

    def _suspect(self, server: AnyServer) -> None:
        server.suspect = True
        self._pool[server.name].doubt()
