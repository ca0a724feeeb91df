"""The limit on a process's file descriptors, and whether enough of them are free. It knows no session."""

import os
import resource
import socket
from contextlib import suppress

_WANTED = 65536  # LimitNOFILE= of deploy/systemd/miltscan.service


def raise_limit() -> None:
    """Allow this process and its children up to 65536 descriptors, as far as the hard limit does.

    A login shell and many containers begin with 1024, which a few hundred sessions use up.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # a sandbox forbids it: then fewer sessions are served
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Descriptors:
    """The descriptors of this process, of which it may have `limit`.

    One is open as a spare: with it a connection can be accepted and closed when no other is left.
    """

    def __init__(self) -> None:
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._spare: int | None = _opened()

    def scarce(self) -> bool:
        """Return whether half of them are in use. Two system calls, however many are open."""
        try:
            lowest = _opened()  # the lowest free number (POSIX): all below it are in use
        except OSError:
            return True
        os.close(lowest)
        return lowest >= self.limit // 2

    def turn_away(self, listener: socket.socket, most: int) -> int:
        """Accept and close the connections that wait at `listener`, up to `most`; return how many there were."""
        spare, self._spare = self._spare, None
        if spare is not None:
            os.close(spare)
        turned = 0
        with suppress(OSError):  # BlockingIOError: no more wait; any other: a scan took the spare's place
            while turned < most:
                listener.accept()[0].close()
                turned += 1
        with suppress(OSError):
            self._spare = _opened()
        return turned


def _opened() -> int:
    return os.open(os.devnull, os.O_RDONLY)
