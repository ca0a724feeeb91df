"""Asks the credentials of a request, the slow part on one thread of low priority: wrong passwords stall nobody."""

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from miltscan.exporter.credentials import Credentials

_WAITING = 8  # passwords that are being checked or wait for it; each takes some 0.2 s
_NICE = 19  # of the thread: mail goes first


class CredentialCheck:
    """One for the whole server: it bounds what all clients together make us compute."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "passwords", _step_back)
        self._waiting = 0

    async def right(self, credentials: Credentials, authorization: str) -> bool | None:
        """Whether they are right; None if too many others wait already."""
        known = credentials.known(authorization)
        if known is not None:
            return known
        if self._waiting >= _WAITING:
            return None
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, credentials.verify, authorization)
        future.add_done_callback(self._done)  # not when the client has gone, for the thread still computes
        return await future

    def _done(self, future: "asyncio.Future[bool]") -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # somebody has looked, even if the client has gone

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _step_back() -> None:
    """On Linux niceness is a thread's own."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
