"""The measurements: CPU time, rate and latency in interleaved rounds, idle memory, and time to the first reply."""

import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench import cpu, figures, load
from tests.bench.filters import Compared, Filter, RawClient
from tests.bench.load import Load, Sample

_numbers = itertools.count(0, 1_000_000)  # first numbers of loads, so far apart that no two messages share one
_WARM = 4  # the load before the first round, which is not counted, is this part of a load


@dataclass(frozen=True, slots=True)
class Round:
    """One run of a load: the filter's CPU time in milliseconds a message, messages a second, latencies in milliseconds.

    `own` is the generator's CPU time in milliseconds a message, `together` that of the filter and of its clamd.
    """

    cpu: float
    rate: float
    p50: float
    p99: float
    own: float
    together: float


@dataclass(frozen=True, slots=True)
class Series:
    """All rounds of one load to one filter."""

    filter: str
    load: Load
    rounds: tuple[Round, ...]

    def values(self, quantity: str) -> list[float]:
        """Return one quantity of each round, by its name in Round."""
        return [float(getattr(one, quantity)) for one in self.rounds]


def rounds(folder: Path, compared: Sequence[Compared], loads: Sequence[Load], count: int) -> list[Series]:
    """Send every load to every filter in each round; each round begins with a different filter."""
    for chosen, case in itertools.product(compared, loads):  # not counted: caches fill and threads start
        _round(folder, chosen, replace(case, messages=max(case.messages // _WARM, case.sessions)))
    measured: dict[tuple[str, Load], list[Round]] = {}
    for number in range(count):
        turn = number % len(compared)
        for case, chosen in itertools.product(loads, [*compared[turn:], *compared[:turn]]):
            measured.setdefault((chosen.name, case), []).append(_round(folder, chosen, case))
    return [Series(name, case, tuple(values)) for (name, case), values in measured.items()]


def _round(folder: Path, chosen: Compared, case: Load) -> Round:
    pids = [] if isinstance(chosen, RawClient) else chosen.pids
    scanner = cpu.family(chosen.clamd.running.pid) if chosen.clamd else []
    before, scanned = cpu.seconds(pids), cpu.seconds(scanner)
    sample = sent(folder, chosen.address, case)
    used = cpu.seconds(pids) - before if pids else sample.own
    return summary(sample, used, cpu.seconds(scanner) - scanned)


def summary(sample: Sample, used: float, scanned: float = 0.0) -> Round:
    """Summarize a sample for which the filter and its clamd used these CPU times in seconds."""
    messages = len(sample.latencies)
    p50, p99 = (figures.percentile(sample.latencies, share) * 1000 for share in (0.5, 0.99))
    own, alone, together = (one * 1000 / messages for one in (sample.own, used, used + scanned))
    return Round(alone, messages / sample.seconds, p50, p99, own, together)


def resident(chosen: Filter, sessions: int) -> list[float]:
    """Return the resident MB (10^6 bytes) of each process, in order of start, with a number of open, idle sessions."""
    with ExitStack() as stack:
        for _ in range(sessions):
            stack.enter_context(load.open_session(chosen.socket))
        return [cpu.memory(pid).resident for pid in chosen.pids]


def first_answer(folder: Path, start: Callable[[], Filter]) -> tuple[Filter, float]:
    """Start a filter with `start`; return it and the seconds until it has replied to a message."""
    began = time.monotonic()
    started = start()
    sent(folder, started.address, Load((1_000,), 1, 1))
    return started, time.monotonic() - began


def sent(folder: Path, address: load.Address, case: Load) -> Sample:
    """Send the load once, with numbers that no other load of this process has."""
    return load.run(folder, address, case, next(_numbers))
