"""`make bench`: compares miltscan with no filter, clamav-milter, rspamd, raw clamd and a relay; ten minutes.

Writes Markdown, JSON and plots to a new folder in tests/bench/results, named by date, machine and versions.

    python -m tests.bench --rounds 7 --only filters
    python -m tests.bench --document docs/lab/benchmark.md
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.bench import alone, filters, loads, measure, report, ruling, where, whole
from tests.bench.filters import FILTERS, Compared, RawClient
from tests.bench.load import Load
from tests.bench.options import at_least
from tests.bench.report import Results
from tests.bench.targets import Figure
from tests.bench.whole import WholeLoad
from tests.harness.clamav import Clamd
from tests.harness.processes import Programs
from tests.harness.sandwich import private_folder

_RESULTS = Path(__file__).parent / "results"
_OPEN_SESSIONS = 200
_FEWEST_ROUNDS = 5  # the fewest with a meaningful median and spread
_PARTS = ("filters", "whole", "alone")
_WHOLE = WholeLoad(messages=240, sessions=8)


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    options = _options(arguments)
    parts = [options.only] if options.only else [*_PARTS]
    results = Results(where.surroundings(), [])
    if "filters" in parts:
        chosen = dict.fromkeys([*loads.many(2), *loads.mixed(), *loads.single()])  # one load is in both
        results = run([*chosen], options.rounds)
    if "whole" in parts:
        results = replace(results, whole=whole.rounds(_WHOLE, options.rounds))
    if "alone" in parts:
        results = replace(results, alone=by_itself())
    written = report.write(results, _RESULTS)
    pictures = _plot(results, written)
    text = report.markdown(results)
    if options.document:
        report.document(options.document, f"{text}\n{report.illustrate(options.document, pictures)}")
    print(text)  # noqa: T201 - the benchmark's purpose
    print(f"Written to {written}")  # noqa: T201 - as above
    return 0


def run(chosen_loads: Sequence[Load], rounds: int, names: Sequence[str] = tuple(FILTERS)) -> Results:
    """Start clamd and the filters, and measure them."""
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs, test_database=True, generated=loads.SIGNATURES)
        clamd.start()
        clamd.wait_ready()
        starts = (partial(FILTERS[name], programs, clamd) for name in names)
        started = [measure.first_answer(folder, start) for start in starts]
        chosen = [one for one, _ in started]
        compared: list[Compared] = [*chosen, RawClient(clamd)]
        for one in chosen:
            filters.prove(one)
        return Results(
            where=where.surroundings() | {one.name: one.version for one in compared} | {"clamd": clamd.note},
            memory={one.name: measure.resident(one, 0) for one in chosen},
            memory_with_sessions={one.name: measure.resident(one, _OPEN_SESSIONS) for one in chosen},
            series=measure.rounds(folder, compared, chosen_loads, rounds),
            first_answer={one.name: seconds for one, seconds in started},
        )


def by_itself() -> list[Figure]:
    """Start clamd, and measure miltscan alone: memory, start, slow scans, idle sessions, rules."""
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs, test_database=True, generated=loads.SIGNATURES)
        clamd.start()
        clamd.wait_ready()
        server = f"unix:{clamd.socket}"
        return [*alone.measured(programs, server), *ruling.measured(programs, server)]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds",
        type=at_least(_FEWEST_ROUNDS),
        default=_FEWEST_ROUNDS,
        help="number of rounds, at least 5 (default 5)",
    )
    parser.add_argument("--only", choices=_PARTS, help="measure this part only")
    parser.add_argument(
        "--document", type=Path, metavar="PAGE", help="insert tables and plots between the marks of this page"
    )
    return parser.parse_args(arguments)


def _plot(results: Results, folder: Path) -> list[Path]:
    if importlib.util.find_spec("matplotlib") is None:
        print("No plots: matplotlib is not installed; `make bench` installs it.", file=sys.stderr)  # noqa: T201
        return []
    from tests.bench import plots  # noqa: PLC0415 - only the benchmark needs matplotlib

    return plots.write(results, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
