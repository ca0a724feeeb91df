"""Runs slow work in a thread of its own while the MTA sees progress: each wait has a bound, and no work is killed."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

from miltscan.engines.base import Tick

_Result = TypeVar("_Result")


class WorkBounds(NamedTuple):
    """`places` bounds the work at the same time, `until` (time.monotonic seconds) the wait for it.

    `interval` (seconds) is between two ticks. `full` is raised where no place is free, `late` after `until`.
    """

    places: threading.BoundedSemaphore
    until: float
    interval: float
    full: Exception
    late: Exception


def in_background(
    work: Callable[[], _Result], bounds: WorkBounds, tick: Tick, release: Callable[[], None] = lambda: None
) -> _Result:
    """The result of `work`, or what it raises. It goes on in its thread after `late`, and where `tick` raises.

    `release` is called once, when the work has ended or could not begin.
    """
    if not bounds.places.acquire(blocking=False):
        release()
        raise bounds.full
    done: SimpleQueue[tuple[_Result] | Exception] = SimpleQueue()

    def run() -> None:
        try:
            done.put((work(),))
        except Exception as error:  # noqa: BLE001 - the milter's thread raises it
            done.put(error)
        finally:
            release()
            bounds.places.release()

    try:
        threading.Thread(target=run, daemon=True).start()
    except BaseException:
        release()
        bounds.places.release()
        raise
    while (left := bounds.until - time.monotonic()) > 0:
        with suppress(Empty):
            result = done.get(timeout=min(left, bounds.interval))
            if isinstance(result, Exception):
                raise result
            return result[0]
        tick()
    raise bounds.late
