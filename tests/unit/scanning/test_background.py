"""Work in a thread: its result or its error arrives, each wait is bounded, and what it holds is released once."""

import threading
import time

import pytest

from miltscan.errors import MtaGoneError, StoreError
from miltscan.scanning.background import WorkBounds, in_background

FULL, LATE = StoreError("full"), StoreError("late")


def bounds(places: int = 1, seconds: float = 30.0) -> WorkBounds:
    """Bounds with a place of their own."""
    return WorkBounds(threading.BoundedSemaphore(places), time.monotonic() + seconds, 0.01, FULL, LATE)


def nothing() -> None:
    """No sign of life."""


def test_the_result_arrives() -> None:
    """It is that of the work, also None."""
    assert in_background(lambda: 7, bounds(), nothing) == 7
    assert in_background(nothing, bounds(), nothing) is None


def test_an_error_arrives() -> None:
    """It is raised where the work was ordered, and the place is free again."""
    one, released = bounds(), list[None]()

    def fails() -> None:
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            in_background(fails, one, nothing, lambda: released.append(None))
    assert len(released) == 2


@pytest.mark.parametrize("ends", ["late", "gone"])
def test_work_goes_on_after_its_wait(ends: str) -> None:
    """Nothing is released before it has ended; until then its place is taken."""
    go, released = threading.Event(), threading.Event()
    one = bounds(seconds=0.05 if ends == "late" else 30.0)

    def gone() -> None:
        if ends == "gone":
            raise MtaGoneError

    expected: type[BaseException] = StoreError if ends == "late" else MtaGoneError
    with pytest.raises(expected):
        in_background(go.wait, one, gone, released.set)
    assert not released.is_set()
    with pytest.raises(StoreError, match="full"):
        in_background(nothing, one, nothing)
    go.set()
    assert released.wait(30)
    assert one.places.acquire(timeout=30)


def test_a_thread_that_cannot_start_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host has no more threads: the work is released, and its place is free."""

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    one, released = bounds(), list[None]()

    def release() -> None:
        released.append(None)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError):
        in_background(nothing, one, nothing, release)
    assert (len(released), one.places.acquire(blocking=False)) == (1, True)
    with pytest.raises(StoreError, match="full"):
        in_background(nothing, one, nothing, release)
    assert len(released) == 2
