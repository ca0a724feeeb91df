"""`make bench-quick`: miltscan beside clamav-milter, and whether it keeps to its targets; about a minute.

The filters alone, without sendmail. Prints the ratio of both for each target; exit status 1 when a target is missed by
more than the noise of the rounds, 3 when it could not be measured because a program is not installed.

    python -m tests.bench.quick --rounds 9
"""

import argparse
import sys

from tests.bench import loads, measure, report, targets
from tests.bench.filters import clamav_milter, miltscan, prove
from tests.bench.options import at_least
from tests.bench.targets import Judgement
from tests.harness.clamav import Clamd
from tests.harness.processes import Programs
from tests.harness.programs import MissingProgramError
from tests.harness.sandwich import private_folder

_NOT_MEASURED = 3
_FEWEST_ROUNDS = 3  # of which the noise can be told


def main(arguments: list[str]) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.quick",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rounds", type=at_least(_FEWEST_ROUNDS), default=5, help="of each measurement (5), at least 3"
    )
    try:
        found = run(parser.parse_args(arguments).rounds)
    except MissingProgramError as error:
        print(f"bench-quick: not measured: {error}", file=sys.stderr)  # noqa: T201 - the command's answer
        return _NOT_MEASURED
    print("\n".join(report.judgements(found)))  # noqa: T201 - as above
    print(f"bench-quick: {report.verdict(found)}")  # noqa: T201 - as above
    return 1 if any(one.missed for one in found) else 0


def run(rounds: int) -> list[Judgement]:
    """Measures both filters at one clamd, and compares."""
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs, test_database=True)
        clamd.start()
        clamd.wait_ready()
        compared = [miltscan(programs, clamd), clamav_milter(programs, clamd)]
        for one in compared:
            prove(one)
        return list(targets.judged(measure.rounds(folder, compared, [*loads.many()], rounds)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
