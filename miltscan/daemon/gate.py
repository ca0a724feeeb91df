"""Keeps idle sessions from using up the descriptors of a worker, which its scans need. It decides nothing about mail.

Without it, when no descriptor is left, libmilter calls accept() without a pause (a third of a core), every scan and
self-test fails, and a new connection waits for its MTA's timeout. Instead the worker accepts no session while half of
its descriptors are in use: the other half is enough for a spool of each session and for the scans. Connections wait
for another worker. Where there is none they are closed, so that the MTA does not wait.
"""

import socket
from multiprocessing.connection import wait
from threading import Lock
from time import monotonic

from structlog.typing import FilteringBoundLogger

from miltscan.milter.threads import Pool
from miltscan.processes.descriptors import Descriptors
from miltscan.telemetry import mail_metrics

_AT_ONCE = 512  # connections closed in one turn: as many as the listener keeps waiting
_LOG_PAUSE = 60.0  # seconds between two lines: sessions end and begin all the time, each of which would have one


class Gate:
    """Closes and opens a worker's listener to libmilter."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._descriptors = Descriptors()
        self._closed = self._waited = False
        self._lock = Lock()
        self._logged = -_LOG_PAUSE

    @property
    def closed(self) -> bool:
        """Whether the listener is closed to libmilter."""
        return self._closed

    def check(self) -> None:
        """Close the listener if descriptors are scarce. Called for each session: many may begin between two turns."""
        if not self._closed and self._descriptors.scarce():
            with self._lock:
                self._pool.pause()
                self._closed = True

    def turn(self, listener: socket.socket, log: FilteringBoundLogger) -> None:
        """Close what waits at a closed listener, or open it. Called in every turn of the main thread."""
        self.check()
        if not self._closed:
            return
        if monotonic() - self._logged >= _LOG_PAUSE:
            self._logged = monotonic()
            log.error("sessions_full", limit=self._descriptors.limit)
        with self._lock:
            if not self._descriptors.scarce():
                self._pool.replace(listener)
                self._closed = self._waited = False
                return
        waits = bool(wait([listener], 0.0))
        if waits and self._waited:  # for a whole turn, so that no other worker accepts
            mail_metrics.SESSIONS_REFUSED.child().inc(self._descriptors.turn_away(listener, _AT_ONCE))
        self._waited = waits
