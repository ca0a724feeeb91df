"""Checks the credentials of requests, the slow part on one thread of low priority, so that no other request waits."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from miltscan.exporter.credentials import Credentials

_WAITING = 8  # passwords that are being checked or wait; each takes about 0.2 s
_NICE = 19  # of the thread: mail comes first


class CredentialCheck:
    """Checks credentials for a whole server, and so bounds the CPU time that all clients together can cause."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "passwords", _lower_priority)
        self._waiting = 0

    async def are_valid(self, credentials: Credentials, authorization: str) -> bool | None:
        """Return whether the credentials are valid; None if too many others are waiting."""
        known = credentials.known(authorization)
        if known is not None:
            return known
        if self._waiting >= _WAITING:
            return None
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, credentials.verify, authorization)
        future.add_done_callback(self._done)  # not in a finally: if the client goes, the thread still computes
        return await future

    def _done(self, future: "asyncio.Future[bool]") -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # retrieve it, or asyncio logs an error when the client has gone

    def close(self) -> None:
        """Begin no more checks."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _lower_priority() -> None:
    """Set the niceness of this thread alone, which Linux allows."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
