"""Does a piece of work in a child process that ends at once, so that what it imports and uses is gone with it.

For a process without threads. The child serves nobody: it is given a time, and killed after it.
"""

import os
import signal
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, TypeVar, cast

from miltscan.errors import MiltscanError, StartError

T = TypeVar("T")

_PATIENCE = 30.0  # seconds: reading a file takes a tenth of one, unless the machine is very busy

if TYPE_CHECKING:
    Link = Connection[object, object]  # generic in its type stub only
else:
    Link = Connection


def in_child(work: Callable[[], T], patience: float = _PATIENCE) -> T:
    """What `work` returns, which has to be picklable, or the MiltscanError that it raises.

    Raises StartError if the child cannot be made, dies, or takes longer than `patience` seconds.
    """
    ours, theirs = Pipe(duplex=False)
    try:
        pid = _fork(work, theirs)
        try:
            result = answer(ours, patience)
        finally:
            os.kill(pid, signal.SIGKILL)  # it has answered, or never will
            os.waitpid(pid, 0)
    finally:
        ours.close()
        theirs.close()
    if isinstance(result, MiltscanError):
        raise result
    return cast("T", result)


def _fork(work: Callable[[], object], link: Link) -> int:
    """The child's process id. Raises StartError."""
    try:
        pid = os.fork()
    except OSError as error:
        raise StartError(f"no process could be made to read the configuration: {error.strerror}") from error
    if pid == 0:
        _become(work, link)
    link.close()  # the end of the child has to be the end of the pipe
    return pid


def _become(work: Callable[[], object], link: Link) -> None:
    """In the child; never returns, and leaves nothing of its parent's to be tidied up twice."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)  # a signal to the child is none to its parent
        link.send(_outcome(work))
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


def answer(link: Link, patience: float) -> object:
    """What the child sent. Raises StartError if that is nothing, or nothing whole."""
    try:
        if link.poll(patience):
            return link.recv()
    except Exception as error:
        raise StartError("the configuration could not be read: the process that did it has died") from error
    raise StartError(f"the configuration could not be read within {patience:g} s")
