"""One clamd: its connections, and what is known of its state; it decides nothing."""

from collections import deque
from contextlib import suppress
from time import monotonic

from miltscan.core.address import Address, UnixAddress
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.engines.base import Tick
from miltscan.engines.clamd.client import Client, Version, open_client
from miltscan.engines.clamd.reply import ClamdReply
from miltscan.engines.clamd.room import Room
from miltscan.engines.reply import Failed, Limited
from miltscan.engines.watch import AbandonedError, Server
from miltscan.engines.wire import DeadlineError, Target
from miltscan.errors import MtaGoneError, SpoolError

IDLE = 10.0
"""Seconds for which an unused session is kept."""
PROBATION = 10.0
"""Seconds after the end of a clamd during which its successor must confirm each OK: it may end for the same reason."""


class ClamdServer(Server):
    """The state of a `Server`, and what only a clamd has.

    `room` is its temporary folder, `degraded` why it lately had no room for a message, or empty. In time.monotonic
    seconds: `answered` is when a scan last received a reply, `unable` when one last found no room; until `doubted` an
    OK counts only if a self-test confirms it, and `proven` is when the last one began that left no doubt. Up to `keep`
    connections are kept open between scans: idle ones count against clamd's MaxQueue, and too many would lock out
    other clients.
    """

    __slots__ = (
        "_keep",
        "_sessions",
        "answered",
        "clean",
        "degraded",
        "doubted",
        "proven",
        "room",
        "takes_descriptor",
        "unable",
        "version",
    )

    def __init__(self, engine: str, address: Address, keep: int = 0) -> None:
        super().__init__(engine, address)
        self._keep = keep
        self._sessions: deque[Client] = deque()
        self.clean = Verdict.clean(engine, self.name)  # made once, as most messages receive it
        self.version: Version | None = None
        self.room = Room(address)
        self.degraded = ""
        self.answered = self.unable = self.doubted = self.proven = 0.0
        self.takes_descriptor = isinstance(address, UnixAddress)

    def forget(self, target: Target) -> None:
        """Begin with what may be another clamd: it may accept descriptors although the last one did not."""
        self.sweep(0.0)
        super().forget(target)
        self.takes_descriptor = isinstance(self.address, UnixAddress)

    def exchange(self, descriptor: int, deadline: float, tick: Tick, *, new: bool = False) -> ClamdReply:
        """The reply of this clamd on the open file by `deadline`; where it accepts no descriptor, the content is sent.

        `new`: on a new connection, even if one is kept.
        """
        reply = self._ask(descriptor, deadline, tick, new=new)
        if isinstance(reply, Failed) and reply.refused:
            self.takes_descriptor = False
            self.sweep(0.0)
            reply = self._ask(descriptor, deadline, tick, new=new)
        return reply

    def sweep(self, age: float) -> None:
        """Close the sessions that were not used for `age` seconds."""
        now = monotonic()
        with suppress(IndexError):  # there are no more, or a scan has just taken it
            while now - self._sessions[0].used >= age:
                self._sessions.popleft().close()

    def _ask(self, descriptor: int, deadline: float, tick: Tick, *, new: bool) -> ClamdReply:
        # a stream ends with its connection: in a session clamd would reply, and wait for the next command
        client = self._take() if self.takes_descriptor and not new else None
        fault = Fault.CLOSED if client else Fault.CONNECT
        whole = False
        try:
            if client:
                client.renew(deadline, tick)
            else:
                client = self._connect(deadline, tick)
                fault = Fault.CLOSED
            reply = client.fildes(descriptor) if self.takes_descriptor else client.instream(descriptor)
            whole = self.takes_descriptor and not isinstance(reply, Failed)
        except DeadlineError:
            reply = Limited(Limit.TIMEOUT, "no reply in time")
        except AbandonedError as reason:
            reply = Failed(Fault.CANARY, str(reason))
        except SpoolError as error:
            reply = Failed(Fault.SPOOL, str(error))
        except OSError as error:
            reply = Failed(fault, error.strerror or str(error))
        except MtaGoneError:  # the end of the connection is all that may end clamd's work
            if client:
                client.close()
            raise
        if whole and client and len(self._sessions) < self._keep:
            client.rest()
            self._sessions.append(client)
        elif client:  # also after an incomplete exchange: a late reply must not be read as that to another message
            client.close()
        return reply

    def _take(self) -> Client | None:
        """A session that clamd has not ended and will not end soon: by default it ends one that is idle for 30 s."""
        while True:
            try:
                client = self._sessions.pop()
            except IndexError:
                return None
            fresh = monotonic() - client.used < IDLE
            if client.quiet():
                if fresh:
                    return client
            elif fresh:  # it has started again: systemd may take less than a self-test's pause for it
                self.doubted = monotonic() + PROBATION
            client.close()

    def _connect(self, deadline: float, tick: Tick) -> Client:
        if self.target is None:
            raise OSError("its host name was not looked up yet")
        client = open_client(self.target, deadline, tick)
        try:
            client.connect()
        except BaseException:
            client.close()
            raise
        return client
