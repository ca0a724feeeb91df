"""`make bench-growth`: how rate, latency and cost grow with sessions, size, servers of clamd and workers; ten minutes.

Each sweep varies one of them. Tables, JSON and plots go to a new folder in tests/bench/results.

    python -m tests.bench.growth --rounds 5 --document docs/lab/benchmark.md
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import cpu, law, loads, measure, report, where
from tests.bench.cpu import Memory
from tests.bench.filters import Filter, RawClient, clamav_milter, miltscan, miltscan_as
from tests.bench.load import Load
from tests.bench.measure import Series
from tests.bench.options import at_least
from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import Scan, honest
from tests.harness.clamav import Clamd
from tests.harness.processes import Programs
from tests.harness.sandwich import private_folder

_RESULTS = Path(__file__).parent / "results"
_FEW, _MANY = (1, 2, 4, 8, 16, 32, 64), (128, 256)  # sessions; more than 64 do not fit into clamd's queue
_SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 50_000_000)
_BYTES = 24_000_000  # of a load in the sweep of sizes, within a lowest and a highest number of messages
_SERVERS = (1, 2, 3, 4)
_WORKERS = (1, 2, 4)
_DELAY, _AT_ONCE = 0.05, 4  # of the fake servers: seconds of a scan, concurrent scans

Sweeps = dict[str, list[Series]]
"""The series of each sweep, by the quantity that grows."""


@dataclass(frozen=True)
class WithClamd(Filter):
    """A filter whose cost includes that of its clamd."""

    clamd: Clamd

    @property
    def pids(self) -> list[int]:
        """The processes of both."""
        return [*super().pids, *cpu.family(self.clamd.running.pid)]


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=at_least(1), default=3, help="number of rounds (default 3)")
    parser.add_argument("--host-signatures", action="store_true", help="let clamd load the signatures of this host")
    parser.add_argument(
        "--document", type=Path, metavar="PAGE", help="insert tables and plots between the marks of this page"
    )
    options = parser.parse_args(arguments)
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs, test_database=not options.host_signatures)
        clamd.start()
        clamd.wait_ready()
        sweeps, memory = run(programs, clamd, options.rounds)
    text = "\n".join(markdown(sweeps, memory, clamd.note))
    written, pictures = write(sweeps, text)
    if options.document:
        report.document(
            options.document, f"{text}\n{report.illustrate(options.document, pictures, 'growth')}", "growth"
        )
    print(text)  # noqa: T201 - the benchmark's purpose
    print(f"Written to {written}")  # noqa: T201 - as above
    return 0


def run(programs: Programs, clamd: Clamd, rounds: int) -> tuple[Sweeps, dict[str, list[Memory]]]:
    """Run all sweeps; return them and the memory of each process by number of workers."""
    folder = programs.folder
    ours = miltscan(programs, clamd)
    both = WithClamd(law.BOTH, ours.version, ours.milter, clamd)
    server = f"unix:{clamd.socket}"
    workers = [miltscan_as(programs, f"{number} workers", [server], number) for number in _WORKERS]
    mixed = [*loads.mixed()]
    sweeps = {
        "sessions": _by_sessions(programs, clamd, ours, rounds),
        "size": measure.rounds(folder, [ours, both, RawClient(clamd)], [*_by_size()], rounds),
        "workers": measure.rounds(folder, workers, [*_by_workers()], rounds),
        "servers": by_servers(programs, rounds),
        "mixed": measure.rounds(folder, [ours, both], mixed[1:2], rounds),
    }
    processes = {f"miltscan, {one.name}": one.pids for one in workers} | {"clamd": cpu.family(clamd.running.pid)}
    return sweeps, {name: [cpu.memory(pid) for pid in pids] for name, pids in processes.items()}


def by_servers(programs: Programs, rounds: int, servers: Sequence[int] = _SERVERS) -> list[Series]:
    """Measure a miltscan for each number of servers, which run `_AT_ONCE` scans of `_DELAY` seconds at a time."""
    with ExitStack() as stack:
        addresses = []
        for number in range(max(servers)):
            server = FakeClamd.unix(programs.folder / f"delayed-{number}.ctl", Delayed())
            addresses.append(stack.enter_context(server).address)
        chosen = [miltscan_as(programs, f"{count} servers", addresses[:count]) for count in servers]
        measured = measure.rounds(programs.folder, chosen, [Load((30_000,), 256, 64, 4)], rounds)
        for one in chosen:  # before its servers end
            one.milter.stop()
    return measured


class Delayed:
    """A server with a constant delay, like clamd on a separate host, which uses none of our processors."""

    def __init__(self) -> None:
        self._places = threading.Semaphore(_AT_ONCE)

    def __call__(self, scan: Scan) -> None:
        """Reply correctly after the delay."""
        with self._places:
            time.sleep(_DELAY)
            honest(scan)


def _by_sessions(programs: Programs, clamd: Clamd, ours: Filter, rounds: int) -> list[Series]:
    """Measure each number of sessions; clamav-milter gets fewer, as it rejects mail when clamd's queue is full."""
    both, folder = [ours, clamav_milter(programs, clamd)], programs.folder
    few = measure.rounds(folder, both, [*_sessions(_FEW)], rounds)
    return few + measure.rounds(folder, [ours], [*_sessions(_MANY)], rounds)


def _sessions(numbers: Sequence[int]) -> Iterator[Load]:
    for sessions in numbers:
        yield Load((1_000,), max(256, 2 * sessions), sessions, max(256 // sessions, 2))
        yield Load((30_000,), max(128, sessions), sessions, max(128 // sessions, 1))


def _by_workers() -> Iterator[Load]:
    """Measure small messages, which cost a worker most compared with clamd, and a day's mail."""
    return (one for one in loads.single() if one.name or one.sizes == (1_000,))


def _by_size() -> Iterator[Load]:
    for size in _SIZES:
        messages = min(max(_BYTES // size, 8), 256)
        yield Load((size,), messages, 8, max(messages // 8, 1))


def markdown(sweeps: Sweeps, memory: Mapping[str, Sequence[Memory]], signatures: str) -> Iterator[str]:
    """Yield the laws, the table for the size of a host, and a table for each sweep and quantity."""
    yield from (f"- {name}: {value}" for name, value in (where.surroundings() | {"clamd": signatures}).items())
    yield from ["", "### The law", "", *law.words(sweeps)]
    yield from ["", "### The size of a host", "", *law.sizing(sweeps), "", *_memory(memory)]
    for name, series in sweeps.items():
        for quantity in ("rate", "p99", "cpu"):
            yield from ["", f"### {name}: {report.QUANTITIES[quantity]}", ""]
            yield from report.quantities(series, quantity)
    yield ""


def _memory(measured: Mapping[str, Sequence[Memory]]) -> Iterator[str]:
    """Yield the memory of each process in order of start, the supervisor first, and the sum."""
    yield "| processes of | resident MB of each process | MB of all, what they share counted once (PSS) |"
    yield "| --- | --- | --- |"
    for name, values in measured.items():
        each = ", ".join(f"{one.resident:.0f}" for one in values)
        yield f"| {name} | {each} | {sum(one.proportional for one in values):.0f} |"


def write(sweeps: Sweeps, text: str) -> tuple[Path, list[Path]]:
    """Write Markdown, JSON and, if matplotlib is installed, plots; return the folder and the plots."""
    folder = _RESULTS / f"growth_{where.folder_name(where.surroundings())}"
    folder.mkdir(parents=True)
    (folder / "growth.md").write_text(f"# Growth\n\n{text}\n")
    stored = {name: [asdict(one) for one in series] for name, series in sweeps.items()}
    (folder / "growth.json").write_text(json.dumps(stored, indent=1) + "\n")
    try:
        from tests.bench import plots  # noqa: PLC0415 - only the benchmark needs matplotlib
    except ModuleNotFoundError:
        print("No plots: matplotlib is not installed; `make bench-growth` installs it.", file=sys.stderr)  # noqa: T201
        return folder, []
    return folder, plots.growth(sweeps, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
