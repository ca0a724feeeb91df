"""`make bench`: miltscan beside clamav-milter, at one clamd. Takes about two minutes; `--rounds N` for more."""

import argparse
import sys
from functools import partial
from itertools import product
from pathlib import Path

from tests.bench import filters, measure, report
from tests.bench.load import Load
from tests.bench.report import Results
from tests.harness.clamav import Clamd
from tests.harness.processes import Programs
from tests.harness.sandwich import private_folder

_RESULTS = Path(__file__).parent / "results"
_MESSAGES = {1_000: 400, 30_000: 200, 1_000_000: 40}  # bytes of a message: messages a round
_SESSIONS = (1, 8)
_OPEN_SESSIONS = 200


def main(arguments: list[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args(arguments).rounds
    with private_folder() as folder, Programs(folder) as programs:
        results = run(programs, [Load(size, _MESSAGES[size], n) for size, n in product(_MESSAGES, _SESSIONS)], rounds)
    print(report.markdown(results))  # noqa: T201 - the benchmark's purpose
    print(f"Written to {report.write(results, _RESULTS)}")  # noqa: T201 - as above
    return 0


def run(programs: Programs, loads: list[Load], rounds: int, open_sessions: int = _OPEN_SESSIONS) -> Results:
    """Starts clamd and both filters, and measures."""
    clamd = Clamd.prepare(programs, test_database=True)
    clamd.start()
    clamd.wait_ready()
    starts = (partial(filters.miltscan, programs, clamd), partial(filters.clamav_milter, programs, clamd))
    started = [measure.first_answer(start) for start in starts]
    chosen = [one for one, _ in started]
    return Results(
        where=report.surroundings() | {one.name: one.version for one in chosen} | {"clamd": clamd.note},
        memory={one.name: measure.resident(one, 0) for one in chosen},
        memory_with_sessions={one.name: measure.resident(one, open_sessions) for one in chosen},
        costs=measure.costs(chosen, loads, rounds),
        first_answer={one.name: seconds for one, seconds in started},
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
