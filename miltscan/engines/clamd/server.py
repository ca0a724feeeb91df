"""One clamd: how a message is put to it, and what is known of its health; it decides nothing about either."""

from collections import deque
from contextlib import suppress
from time import monotonic

from miltscan.core.address import Address, UnixAddress
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.engines.base import Tick
from miltscan.engines.clamd.client import Client, Version, open_client
from miltscan.engines.clamd.reply import ClamdReply, Failed, Limited
from miltscan.engines.wire import DeadlineError, Target
from miltscan.errors import SpoolError

IDLE = 10.0
"""Seconds for which an unused session is kept."""


class AbandonedError(Exception):
    """Raised by a tick to end the wait for a server: somebody else has learnt that it is vain."""


class ClamdServer:
    """State shared by scans and canaries. Each field is one word, written whole, so that no lock is needed.

    `up` is written by the canary alone, `told`: an observer has heard of it, `suspect`: an exchange failed since
    the last canary. In time.monotonic seconds: `answered` is when a scan last got a reply, `tested` when a canary last
    began, `due` when the next one begins. At most `keep` connections are kept open between scans: idle ones count
    against clamd's MaxQueue, and too many would keep others from it (measured).
    """

    __slots__ = (
        "_keep",
        "_sessions",
        "address",
        "answered",
        "clean",
        "due",
        "engine",
        "name",
        "suspect",
        "takes_descriptor",
        "target",
        "tested",
        "told",
        "up",
        "version",
    )

    def __init__(self, engine: str, address: Address, keep: int = 0) -> None:
        self.engine = engine
        self.address = address
        self._keep = keep
        self._sessions: deque[Client] = deque()
        self.name = str(address)
        self.clean = Verdict.clean(engine, self.name)  # made once: most messages get it
        self.target: Target | None = None
        self.version: Version | None = None
        self.up = False
        self.told = False
        self.suspect = False
        self.answered = self.tested = self.due = 0.0
        self.takes_descriptor = isinstance(address, UnixAddress)

    def forget(self, target: Target) -> None:
        """Starts anew with what may be another clamd: it may take a descriptor although the last one did not."""
        self.sweep(0.0)
        self.target = target
        self.takes_descriptor = isinstance(self.address, UnixAddress)

    def exchange(self, descriptor: int, deadline: float, tick: Tick, *, anew: bool = False) -> ClamdReply:
        """The word of this clamd on the open file by `deadline`; where it takes no descriptor, the content is sent.

        `anew`: over a connection of its own, though one is kept.
        """
        reply = self._ask(descriptor, deadline, tick, anew=anew)
        if isinstance(reply, Failed) and reply.refused:
            self.takes_descriptor = False
            reply = self._ask(descriptor, deadline, tick, anew=anew)
        return reply

    def sweep(self, age: float) -> None:
        """Closes the sessions that nobody has used for `age` seconds."""
        now = monotonic()
        with suppress(IndexError):  # no more of them, or a scan has just taken it
            while now - self._sessions[0].used >= age:
                self._sessions.popleft().close()

    def _ask(self, descriptor: int, deadline: float, tick: Tick, *, anew: bool) -> ClamdReply:
        client = None if anew else self._take()
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
            reply = Failed(fault, str(error))
        if whole and client and len(self._sessions) < self._keep:
            client.rest()
            self._sessions.append(client)
        elif client:  # one whose last exchange did not end whole, too: a late word must not meet another message
            client.close()
        return reply

    def _take(self) -> Client | None:
        """A session that clamd has neither ended nor is about to: by default it ends one that is idle for 30 s."""
        while True:
            try:
                client = self._sessions.pop()
            except IndexError:
                return None
            if client.quiet() and monotonic() - client.used < IDLE:
                return client
            client.close()

    def _connect(self, deadline: float, tick: Tick) -> Client:
        if self.target is None:
            raise OSError("its address is not known yet")
        client = open_client(self.target, deadline, tick)
        try:
            client.connect()
        except BaseException:
            client.close()
            raise
        return client
