"""The measurements: CPU, rate and latency in interleaved rounds, memory at rest, and time to the first answer."""

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import cpu, figures, load
from tests.bench.filters import Compared, Filter, RawClient
from tests.bench.load import Load, Sample

_numbers = itertools.count(0, 1_000_000)  # first numbers of loads, so far apart that no two messages have the same
_WARM = 4  # what is not counted is this part of a load


@dataclass(frozen=True, slots=True)
class Round:
    """One load once: milliseconds of the filter's CPU a message, messages a second, latencies in milliseconds.

    `own` is the CPU of the generator, milliseconds a message.
    """

    cpu: float
    rate: float
    p50: float
    p99: float
    own: float


@dataclass(frozen=True, slots=True)
class Series:
    """All rounds of one load to one filter."""

    filter: str
    load: Load
    rounds: tuple[Round, ...]

    def values(self, quantity: str) -> list[float]:
        """One quantity of each round, by the name it has in Round."""
        return [float(getattr(one, quantity)) for one in self.rounds]


def rounds(folder: Path, compared: Sequence[Compared], loads: Sequence[Load], count: int) -> list[Series]:
    """Every load to every filter in each round; the first filter of a round is another one each time."""
    for chosen, case in itertools.product(compared, loads):  # not counted: caches fill, threads start
        _round(folder, chosen, replace(case, messages=max(case.messages // _WARM, case.sessions)))
    measured: dict[tuple[str, Load], list[Round]] = {}
    for number in range(count):
        turn = number % len(compared)
        for case, chosen in itertools.product(loads, [*compared[turn:], *compared[:turn]]):
            measured.setdefault((chosen.name, case), []).append(_round(folder, chosen, case))
    return [Series(name, case, tuple(values)) for (name, case), values in measured.items()]


def _round(folder: Path, chosen: Compared, case: Load) -> Round:
    pids = [] if isinstance(chosen, RawClient) else chosen.pids
    before = cpu.seconds(pids)
    sample = sent(folder, chosen.address, case)
    used = cpu.seconds(pids) - before if pids else sample.own
    return summary(sample, used)


def summary(sample: Sample, used: float) -> Round:
    """A sample for which the filter used so many seconds of CPU."""
    messages = len(sample.latencies)
    p50, p99 = (figures.percentile(sample.latencies, share) * 1000 for share in (0.5, 0.99))
    return Round(used * 1000 / messages, messages / sample.seconds, p50, p99, sample.own * 1000 / messages)


def resident(chosen: Filter, sessions: int) -> list[float]:
    """Resident MB (10^6 bytes) of each process, in order of start, while so many sessions are open and idle."""
    with ExitStack() as stack:
        for _ in range(sessions):
            stack.enter_context(load.open_session(chosen.socket))
        return [cpu.memory(pid).resident for pid in chosen.pids]


def first_answer(folder: Path, start: Callable[[], Filter]) -> tuple[Filter, float]:
    """The filter that `start` starts, and the seconds until it has answered a message."""
    began = time.monotonic()
    started = start()
    sent(folder, started.address, Load((1_000,), 1, 1))
    return started, time.monotonic() - began


def sent(folder: Path, address: load.Address, case: Load) -> Sample:
    """The load once, with numbers that no other load of this process has."""
    return load.run(folder, address, case, next(_numbers))
