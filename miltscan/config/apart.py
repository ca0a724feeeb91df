"""Does a piece of work in a child process that ends at once, so that what it imports and uses is gone with it.

For a process without threads. The child serves nobody: it is given a time, and killed after it.
"""

import math
import os
import pickle
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import TypeVar, cast

from miltscan.errors import MiltscanError, StartError

T = TypeVar("T")

_PATIENCE = 30.0  # seconds: reading a file takes a tenth of one, unless the machine is very busy
_CHUNK = 65536  # bytes: what a pipe holds


def in_child(work: Callable[[], T], patience: float = _PATIENCE) -> T:
    """What `work` returns, which has to be picklable, or the MiltscanError that it raises.

    Raises StartError if the child cannot be made, dies, or takes longer than `patience` seconds.
    """
    ours, pid = _start(work, patience)
    try:
        result = answer(ours, patience)
    finally:
        os.kill(pid, signal.SIGKILL)  # it has answered, or never will
        os.waitpid(pid, 0)
        os.close(ours)
    if isinstance(result, MiltscanError):
        raise result
    return cast("T", result)


def _start(work: Callable[[], object], patience: float) -> tuple[int, int]:
    """Where the child's answer comes, and its process id. Raises StartError."""
    try:
        ours, theirs = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(ours)
            os.close(theirs)
            raise
    except OSError as error:
        raise StartError(f"no process could be made to read the configuration: {error.strerror}") from error
    if pid == 0:
        _become(work, theirs, patience)
    os.close(theirs)  # the end of the child has to be the end of the pipe
    return ours, pid


def _become(work: Callable[[], object], pipe: int, patience: float) -> None:
    """In the child; never returns, and leaves nothing of its parent's to be tidied up twice.

    It ends by itself when its time is up: it has all that its parent has open, and a parent that was killed meanwhile
    must not seem alive to others.
    """
    status = 1
    try:
        signal.set_wakeup_fd(-1)  # a signal to the child is none to its parent
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(math.ceil(patience))
        with os.fdopen(pipe, "wb") as stream:
            pickle.dump(_outcome(work), stream)
        status = 0
    finally:
        os._exit(status)


def _outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except MiltscanError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent has to learn it
        return StartError(f"the configuration could not be read: {type(error).__name__}: {error}")


def answer(pipe: int, patience: float) -> object:
    """What the child sent, up to the end of the pipe. Raises StartError if that is nothing, or nothing whole, in time.

    The time is that of the whole answer: a child may be stopped in the middle of it.
    """
    data, last = b"", time.monotonic() + patience
    while wait([pipe], max(0.0, last - time.monotonic())):
        chunk = os.read(pipe, _CHUNK)
        if not chunk:
            return _unpacked(data)
        data += chunk
    raise StartError(f"the configuration could not be read within {patience:g} s")


def _unpacked(data: bytes) -> object:
    try:
        return pickle.loads(data)  # noqa: S301 - of a child of ours
    except Exception as error:
        raise StartError("the configuration could not be read: the process that did it has died") from error
