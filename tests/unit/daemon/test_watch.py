"""The watch over libmilter, with a clock and a libmilter of the test's own."""

from collections.abc import Callable
from math import inf
from unittest import mock

from miltscan.daemon.watch import SILENCE, LibmilterWatch
from miltscan.milter.callbacks import Milter
from miltscan.milter.session import MtaSession

TURN = 0.25
LONG = int(SILENCE * 2 / TURN)


class Bench:
    """A watch over a milter without libmilter; `answering` is whether that answers."""

    def __init__(self) -> None:
        self.milter = Milter(mock.Mock(), mock.Mock(), lambda: None)
        self.answering = True
        self.watch = LibmilterWatch(self.milter, mock.Mock(answers=lambda: self.answering))
        self.moment = 1000.0

    def eom(self, queue_id: str) -> MtaSession:
        """Return the session of an EOM that begins now."""
        session = MtaSession(b"", mock.Mock())
        session.queue_id = queue_id
        self.milter._enter(session, self.moment)  # noqa: SLF001 - as a callback does
        return session

    def turns(self, number: int, work: Callable[[], object] = lambda: None) -> str | None:
        """Return what the watch reports first in this many turns of the main thread, each after `work`."""
        for _ in range(number):
            work()
            self.moment += TURN
            if why := self.watch.stuck(self.moment):
                return why
        return None


def test_an_idle_worker_is_not_stuck() -> None:
    """Without work it is enough that libmilter answers."""
    assert Bench().turns(LONG) is None


def test_a_libmilter_that_does_not_answer_is_stuck() -> None:
    """A libmilter that has not answered for half a minute is stuck."""
    bench = Bench()
    bench.turns(LONG)
    bench.answering = False
    assert bench.turns(int(SILENCE / TURN) - 4) is None
    assert bench.turns(8) == "libmilter has not answered for 30 s"


def test_an_eom_that_does_not_go_on_is_stuck() -> None:
    """The message is named although libmilter and the other EOMs make progress."""
    bench = Bench()
    bench.turns(1)
    bench.eom("STUCK")
    other = bench.eom("OTHER")
    ticks = lambda: bench.milter._tick(mock.Mock(), other)  # noqa: E731, SLF001 - as its engine does
    assert bench.turns(int(SILENCE / TURN), ticks) is None
    assert bench.turns(4, ticks) == "the message STUCK has made no progress for 30 s"


def test_a_long_scan_is_not_stuck() -> None:
    """A scan that ticks is a sign of life of libmilter as well, because all its threads may be in scans."""
    bench = Bench()
    session = bench.eom("LONG")
    bench.answering = False
    assert bench.turns(LONG, lambda: bench.milter._tick(mock.Mock(), session)) is None  # noqa: SLF001 - as above


def test_waiting_for_the_mta_is_not_stuck() -> None:
    """An MTA that reads nothing stops its own EOM, and must not end the worker."""
    bench = Bench()
    bench.eom("MTA").alive = inf
    assert bench.turns(LONG) is None


def test_a_worker_that_was_stopped_is_not_stuck() -> None:
    """After a suspend of the machine an EOM has the whole time again."""
    bench = Bench()
    bench.eom("SLEPT")
    bench.turns(4)
    bench.moment += 3600.0
    assert bench.turns(4) is None
