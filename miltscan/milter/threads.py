"""Keeps libmilter's pool of threads from stalling, by a private socket of the worker. No pymilter, no mail.

Debian's libmilter serves all sessions of a process by a pool of threads, and starts a thread only when a packet
arrives: ten EOMs at once, 2 s each, end after 2, 2, 4, 4 ... 10 s. A packet on a control session makes it start one:
an abort outside a transaction, to which libmilter sends no reply. Cost: one write of five bytes.

One more control session asks a question: a libmilter that no longer answers it is stuck.

libmilter accepts only one listener, so it begins with a private one, by which the control sessions are opened. Then the
public listener replaces it.
"""

import os
import signal
import socket
import threading
from itertools import cycle

from miltscan.core.milter_packets import ABORT, NEGOTIATE, UNKNOWN

_SESSIONS = 2  # the thread that starts the next one may be busy with one of them
_ANSWER = 64  # bytes, more than an answer has
_WAKE = signal.SIGUSR1
_PATIENCE = 10.0  # seconds for libmilter to answer at start


class Pool:
    """The control sessions of one worker's libmilter, which runs in `thread`: made before it runs, opened after."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        signal.signal(_WAKE, _note)
        self._listener = _abstract_listener()
        self._nobody = _abstract_listener()  # at which no process connects
        self._sessions: list[socket.socket] = []
        self._question: socket.socket | None = None
        self._next = cycle(range(_SESSIONS))
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """The listening descriptor to give to libmilter."""
        return self._listener.fileno()

    def open(self, public: socket.socket) -> None:
        """Open the control sessions, then let libmilter accept from `public`; raises OSError if it does not answer."""
        self._sessions = [self._session() for _ in range(_SESSIONS)]
        self._question = self._session()
        self._question.send(UNKNOWN)
        self.replace(public)

    def answers(self) -> bool:
        """Return whether libmilter has answered the last question, and if so ask the next one. Never blocks."""
        if self._question is None:
            return False
        try:
            return self._question.recv(_ANSWER) != b"" and self._question.send(UNKNOWN) > 0
        except OSError:  # BlockingIOError: not yet
            return False

    def keep(self) -> None:
        """To be called at least hourly: libmilter closes a session without a packet for two hours (MI_TIMEOUT)."""
        for _ in self._sessions:
            self.kick()

    def replace(self, listener: socket.socket) -> None:
        """Let libmilter accept from `listener` (non-blocking) from now on."""
        os.dup2(listener.fileno(), self._listener.fileno(), inheritable=False)
        if self._thread.ident:
            signal.pthread_kill(self._thread.ident, _WAKE)

    def pause(self) -> None:
        """Let libmilter accept no connection until `replace`."""
        self.replace(self._nobody)

    def kick(self) -> None:
        """Make libmilter check whether it needs another thread; never blocks, never raises."""
        with self._lock:
            session = self._sessions[next(self._next)]
        try:
            session.send(ABORT)
        except OSError:  # its buffer is full of such packets, or libmilter is stopping
            return

    def _session(self) -> socket.socket:
        session = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        session.settimeout(_PATIENCE)
        session.connect(self._listener.getsockname())
        session.sendall(NEGOTIATE)
        if not session.recv(256):
            session.close()
            raise ConnectionError("libmilter closed its control session")
        session.settimeout(0)  # non-blocking: with a timeout Python waits for space before it sends
        return session


def _abstract_listener() -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("")  # Linux chooses a unique abstract name
    listener.listen(8)
    listener.settimeout(0)  # non-blocking
    return listener


def _note(_number: int, _frame: object) -> None:
    """Do nothing: without a handler the signal would end the process."""
