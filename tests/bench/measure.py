"""The measurements: CPU time per message in interleaved rounds, memory at rest, and time to the first answer."""

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from tests.bench import cpu, load
from tests.bench.filters import Filter
from tests.bench.load import Load

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU milliseconds per message of one filter at one load, one value a round."""

    filter: str
    load: Load
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The round in the middle."""
        return median(self.rounds)


def costs(filters: Sequence[Filter], loads: Sequence[Load], rounds: int) -> list[Cost]:
    """Every load to every filter in each round; the first filter of a round is another one each time."""
    for chosen in filters:
        for case in loads:
            _cost(chosen, case)  # not counted: caches fill, threads start
    measured: dict[tuple[str, Load], list[float]] = {}
    for number in range(rounds):
        turn = number % len(filters)
        for case, chosen in itertools.product(loads, [*filters[turn:], *filters[:turn]]):
            measured.setdefault((chosen.name, case), []).append(_cost(chosen, case))
    return [Cost(name, case, tuple(values)) for (name, case), values in measured.items()]


def _cost(chosen: Filter, case: Load) -> float:
    pids = chosen.pids
    before = cpu.seconds(pids)
    load.run(chosen.socket, case, _numbers)
    return (cpu.seconds(pids) - before) * 1000 / case.messages


def resident(chosen: Filter, sessions: int) -> list[float]:
    """Resident MiB of each of the filter's processes, in order of start, while so many sessions are open and idle."""
    with ExitStack() as stack:
        for _ in range(sessions):
            stack.enter_context(load.open_session(chosen.socket))
        return [cpu.resident(pid) for pid in chosen.pids]


def first_answer(start: Callable[[], Filter]) -> tuple[Filter, float]:
    """The filter that `start` starts, and the seconds until it has answered a message."""
    began = time.monotonic()
    started = start()
    load.run(started.socket, Load(1_000, 1, 1), _numbers)
    return started, time.monotonic() - began
