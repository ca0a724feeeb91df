"""Tries work that may wait for ever (a file on a disk that hangs) in a separate process, with a time limit."""

import os
import select
import signal
from collections.abc import Callable

from miltscan.errors import StartError

_KILLED = 1.0  # seconds for a killed process to end; one that waits for a dead disk ends when the disk answers


def rehearse(work: Callable[[], object], seconds: float) -> None:
    """Return if `work` ends in time, with a result or an exception. Raises StartError if it does not."""
    try:
        if ends_within(seconds, work):
            return
    except OSError as error:
        raise StartError(f"cannot start a process that tries the files: {error.strerror}") from error
    raise StartError(f"a file or folder of the configuration did not answer within {seconds:g} s: check its disk")


def ends_within(seconds: float, work: Callable[[], object]) -> bool:
    """Return whether `work` ends in time, with a result or an exception, in a copy of this process.

    The caller, which must have no other thread, may then do the same itself. Raises OSError if no copy can be made.
    """
    pid = os.fork()
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            work()
        finally:
            os._exit(0)
    descriptor = os.pidfd_open(pid)
    try:
        ends = select.poll()
        ends.register(descriptor, select.POLLIN)
        in_time = bool(ends.poll(seconds * 1000))
        if not in_time:
            os.kill(pid, signal.SIGKILL)
            ends.poll(_KILLED * 1000)
        os.waitpid(pid, os.WNOHANG)
    finally:
        os.close(descriptor)
    return in_time
