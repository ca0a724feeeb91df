"""`make bench-breakdown`: where the CPU time of one message goes in miltscan.

The total is what the kernel charges to an ordinary service. The parts come from a service with clocks on them
(`timed`). The remainder is libmilter, pymilter, the interpreter's lock and the kernel's side of both sockets.

    python -m tests.bench.breakdown --rounds 3
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import cpu, report, where
from tests.bench.filters import Filter, miltscan_as
from tests.bench.load import Load
from tests.bench.measure import sent
from tests.bench.options import at_least
from tests.harness.clamav import Clamd
from tests.harness.processes import PATIENCE, Programs, wait_until
from tests.harness.sandwich import private_folder

_SIZES = (1_000, 30_000)  # bytes
_MESSAGES = 500
_EOM = ("exchange", "structure", "decision", "answer", "log")
ROWS = {
    "session": "connect and close",
    "envfrom": "MAIL",
    "envrcpt": "RCPT",
    "header": "headers",
    "body": "body, without the spool",
    "spool": "spool: memory file taken, written, put back",
    "exchange": "exchange with clamd",
    "looks": "looks at clamd's temporary folder",
    "structure": "reading the structure of the message",
    "decision": "decision",
    "answer": "header edits and reply to the MTA",
    "log": "log line",
    "eom": "EOM, all else: macros, message, scan slot, report",
    "metrics": "metrics",
    "rest": "libmilter, pymilter, the interpreter's lock, reading and polling",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part, with the fields of `timed.Clock`."""

    calls: int
    spent: float
    within: int


def per_message(parts: Mapping[str, Part], inside: float, around: float) -> dict[str, float]:
    """Return microseconds a message of each part, without the cost of the clocks (`inside`, `around`: nanoseconds)."""
    messages = parts["eom"].calls
    return {
        name: (part.spent - part.calls * inside - part.within * around) / messages / 1000
        for name, part in parts.items()
    }


def rows(parts: Mapping[str, float], total: float) -> dict[str, float]:
    """Return the rows of the table in microseconds a message; their sum is `total`."""
    own = dict(parts)
    own["session"] = own.pop("connect") + own.pop("close")
    own["body"] -= own["spool"]
    own["eom"] -= sum(own[name] for name in _EOM)
    own["exchange"] -= own["looks"]
    own["rest"] = total - sum(own.values())
    return {name: own[name] for name in ROWS}


def table(found: Mapping[int, Mapping[str, float]]) -> Iterator[str]:
    """Yield a row for each part, with a column for each size."""
    yield f"| part | {' | '.join(f'{size // 1000} KB, µs' for size in found)} |"
    yield f"| --- |{' --- |' * len(found)}"
    for name, title in ROWS.items():
        yield f"| {title} | {' | '.join(f'{of[name]:.0f}' for of in found.values())} |"
    yield f"| **all of it** | {' | '.join(f'**{sum(of.values()):.0f}**' for of in found.values())} |"


def measured(programs: Programs, server: str, size: int, rounds: int) -> dict[str, float]:
    """Return the rows for messages of `size` bytes: the median of the rounds for each part."""
    found = [_round(programs, server, size, f"{size} {number}") for number in range(rounds)]
    return {name: median(one[name] for one in found) for name in ROWS}


def _round(programs: Programs, server: str, size: int, name: str) -> dict[str, float]:
    plain = miltscan_as(programs, f"plain {name}", [server])
    _send(programs.folder, plain, size)  # caches fill, threads start
    before = cpu.seconds(plain.pids)
    _send(programs.folder, plain, size)
    total = (cpu.seconds(plain.pids) - before) / _MESSAGES * 1e6
    plain.milter.stop()
    file = programs.folder / f"clocks {name}"
    timed = miltscan_as(programs, f"timed {name}", [server], program=[sys.executable, "-m", "tests.bench.timed", file])
    _send(programs.folder, timed, size)
    timed.milter.stop()
    wait_until(file.exists, PATIENCE, f"{file} of the worker that has ended")
    clocks = json.loads(file.read_text())
    parts = {part: Part(**clock) for part, clock in clocks["parts"].items()}
    return rows(per_message(parts, clocks["inside"], clocks["around"]), total)


def _send(folder: Path, chosen: Filter, size: int) -> None:
    sent(folder, chosen.address, Load((size,), _MESSAGES, 1))


def main(arguments: Sequence[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.breakdown",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=at_least(1), default=5, help="number of rounds for each size (default 5)")
    parser.add_argument("--document", type=Path, metavar="PAGE", help="insert the table between the marks of this page")
    options = parser.parse_args(arguments)
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs, test_database=True)
        clamd.start()
        clamd.wait_ready()
        found = {size: measured(programs, f"unix:{clamd.socket}", size, options.rounds) for size in _SIZES}
    text = "\n".join([*(f"- {name}: {value}" for name, value in where.surroundings().items()), "", *table(found), ""])
    if options.document:
        report.document(options.document, text, "breakdown")
    print(text)  # noqa: T201 - the benchmark's purpose
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
