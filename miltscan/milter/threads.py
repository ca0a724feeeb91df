"""Keeps libmilter's pool of threads from stalling, over a socket of the worker's own. No pymilter, no mail.

Debian's libmilter serves all sessions of a process by a pool of threads and starts a further thread only when
something new comes in: ten EOMs at once, 2 s each, end after 2, 2, 4, 4 ... 10 s (measured). An event on a session
nobody waits for makes it start one: an abort outside any transaction, which libmilter answers with nothing at all.
Cost: one write of five bytes.

libmilter can be given only one listener, so it begins with a private one, over which the control sessions are opened;
then the public listener takes its place.
"""

import os
import signal
import socket
import threading
from itertools import cycle

from miltscan.core.milter_packets import ABORT, NEGOTIATE

_SESSIONS = 2  # one may just be in the hands of the thread that starts the next
_WAKE = signal.SIGUSR1
_PATIENCE = 10.0  # seconds for libmilter to answer at start


class Pool:
    """The control sessions of one worker's libmilter, which runs in `thread`. Made before it runs, opened after."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        signal.signal(_WAKE, _note)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind("")  # Linux gives it an abstract name that nobody else has
        self._listener.listen(8)
        self._listener.settimeout(0)  # non-blocking
        self._sessions: list[socket.socket] = []
        self._next = cycle(range(_SESSIONS))
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """The listening descriptor to give to libmilter."""
        return self._listener.fileno()

    def open(self, public: socket.socket) -> None:
        """Open the control sessions, then let libmilter accept from `public`; OSError if it does not answer."""
        self._sessions = [self._session() for _ in range(_SESSIONS)]
        self.replace(public)

    def keep(self) -> None:
        """To be called at least hourly: libmilter closes a session on which nothing came for two hours (MI_TIMEOUT)."""
        for _ in self._sessions:
            self.kick()

    def replace(self, listener: socket.socket) -> None:
        """Let libmilter accept from `listener` (non-blocking) from now on."""
        os.dup2(listener.fileno(), self._listener.fileno(), inheritable=False)
        if self._thread.ident:
            signal.pthread_kill(self._thread.ident, _WAKE)

    def kick(self) -> None:
        """Make libmilter look whether it needs another thread; never blocks, never raises."""
        with self._lock:
            session = self._sessions[next(self._next)]
        try:
            session.send(ABORT)
        except OSError:  # its buffer is full of kicks already, or libmilter is stopping
            return

    def _session(self) -> socket.socket:
        session = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        session.settimeout(_PATIENCE)
        session.connect(self._listener.getsockname())
        session.sendall(NEGOTIATE)
        if not session.recv(256):
            session.close()
            raise ConnectionError("libmilter closed its control session")
        session.settimeout(0)  # non-blocking: with a timeout Python waits for room before it sends
        return session


def _note(_number: int, _frame: object) -> None:
    """That there is a handler is enough: without one the signal would end the process."""
