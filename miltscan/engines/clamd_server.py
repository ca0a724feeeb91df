"""One clamd: how a message is put to it, and what is known of its health; it decides nothing about either."""

from collections.abc import Callable

from miltscan.core.address import Address, UnixAddress
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.engines.clamd_client import Version, open_client
from miltscan.engines.clamd_reply import Failed, Limited, Reply
from miltscan.engines.wire import DeadlineError, Target
from miltscan.errors import SpoolError

ENGINE = "clamd"


class AbandonedError(Exception):
    """Raised by a tick to end the wait for a server: somebody else has learnt that it is vain."""


class Server:
    """State shared by scans and canaries. Each field is one word, written whole, so that no lock is needed.

    `up` is written by the canary alone, `told`: an observer has heard of it, `suspect`: an exchange failed since
    the last canary. In time.monotonic seconds: `answered` is when a scan last got a reply, `tested` when a canary last
    began, `due` when the next one begins.
    """

    __slots__ = (
        "address",
        "answered",
        "clean",
        "due",
        "name",
        "suspect",
        "takes_descriptor",
        "target",
        "tested",
        "told",
        "up",
        "version",
    )

    def __init__(self, address: Address) -> None:
        self.address = address
        self.name = str(address)
        self.clean = Verdict.clean(ENGINE, self.name)  # made once: most messages get it
        self.target: Target | None = None
        self.version: Version | None = None
        self.up = False
        self.told = False
        self.suspect = False
        self.answered = self.tested = self.due = 0.0
        self.takes_descriptor = isinstance(address, UnixAddress)

    def forget(self, target: Target) -> None:
        """Starts anew with what may be another clamd: it may take a descriptor although the last one did not."""
        self.target = target
        self.takes_descriptor = isinstance(self.address, UnixAddress)

    def exchange(self, descriptor: int, deadline: float, tick: Callable[[], None]) -> Reply:
        """The word of this clamd on the open file by `deadline`; where it takes no descriptor, the content is sent."""
        reply = self._exchange(descriptor, deadline, tick)
        if isinstance(reply, Failed) and reply.refused:
            self.takes_descriptor = False
            reply = self._exchange(descriptor, deadline, tick)
        return reply

    def _exchange(self, descriptor: int, deadline: float, tick: Callable[[], None]) -> Reply:
        if self.target is None:
            return Failed(Fault.CONNECT, "its address is not known yet")
        fault = Fault.CONNECT
        try:
            with open_client(self.target, deadline, tick) as client:
                client.connect()
                fault = Fault.CLOSED
                return client.fildes(descriptor) if self.takes_descriptor else client.instream(descriptor)
        except DeadlineError:
            return Limited(Limit.TIMEOUT, "no reply in time")
        except AbandonedError as reason:
            return Failed(Fault.CANARY, str(reason))
        except SpoolError as error:
            return Failed(Fault.SPOOL, str(error))
        except OSError as error:
            return Failed(fault, str(error))
