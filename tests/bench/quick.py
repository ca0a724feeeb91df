"""`make bench-quick`: compares miltscan with clamav-milter, and with another checkout of miltscan; about a minute.

Measures the filters alone, without sendmail. Prints a ratio for each target and load. The exit status is 1 when a
target is missed, or a ratio to the other checkout is worse than 1, by more than the noise of the rounds. It is 3 when
nothing was measured, because a program is not installed or a filter does not scan.

    python -m tests.bench.quick --rounds 9 --against ../miltscan-0.1
"""

import argparse
import sys
from pathlib import Path

from tests.bench import filters, loads, measure, report, targets
from tests.bench.filters import UnprovenError, clamav_milter, miltscan, prove
from tests.bench.measure import Series
from tests.bench.options import at_least
from tests.harness.clamav import Clamd
from tests.harness.processes import Programs
from tests.harness.programs import MissingProgramError
from tests.harness.sandwich import private_folder

_NOT_MEASURED = 3
_FEWEST_ROUNDS = 3  # the fewest that have a noise


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    options = _options(arguments)
    try:
        measured = run(options.rounds, options.against)
    except (MissingProgramError, UnprovenError) as error:
        print(f"bench-quick: not measured: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return _NOT_MEASURED
    judged = [*targets.judged(measured)]
    lines = [*report.judgements(judged), f"bench-quick: {report.verdict(judged)}"]
    worse = [*targets.regressions(measured)]
    if options.against:
        found = f"{sum(one.missed for one in worse)} of {len(worse)} ratios worse"
        lines += ["", *report.judgements(worse), f"bench-quick: {found} than {options.against} by more than the noise"]
    print("\n".join(lines))  # noqa: T201 - as above
    return 1 if any(one.missed for one in [*judged, *worse]) else 0


def run(rounds: int, against: Path | None = None) -> list[Series]:
    """Measure the filters in interleaved rounds at one clamd; `against` is the folder of another checkout."""
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs, test_database=True, generated=loads.SIGNATURES)
        clamd.start()
        clamd.wait_ready()
        compared = [miltscan(programs, clamd), clamav_milter(programs, clamd)]
        if against:
            compared.append(filters.checkout(programs, clamd, against))
        for one in compared:
            prove(one)
        return measure.rounds(folder, compared, [*loads.many()], rounds)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.quick",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds",
        type=at_least(_FEWEST_ROUNDS),
        default=5,
        help="number of rounds, at least 3 (default 5; 9 or more for --against, where chance shows in few rounds)",
    )
    parser.add_argument(
        "--against",
        type=_checkout,
        metavar="FOLDER",
        help="another checkout of miltscan with a .venv of its own (`make environment`): measured in the same rounds",
    )
    return parser.parse_args(arguments)


def _checkout(text: str) -> Path:
    folder = Path(text).resolve()
    if not (folder / ".venv" / "bin" / "miltscan").is_file():
        raise argparse.ArgumentTypeError(f"{text!r}: no .venv/bin/miltscan there. Run `make environment` in it")
    return folder


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
