"""`make bench-quarantine`: the rate of storing, lists and searches, expiry, and the cost for other mail; ten minutes.

Exit status 1 if a target is missed: storing at half the bare rate of this machine, measured in the same rounds; clean
mail of a burst at 0.9 of its rate without a quarantine; 60 MB for the keeper. The other figures have aims only.

    python -m tests.bench.quarantine --entries 20000 --rounds 3 --only puts
    python -m tests.bench.quarantine --document docs/lab/quarantine.md
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from miltscan.quarantine.files import Files
from miltscan.quarantine.store import Store
from tests.bench import entries, figures, keeper_memory, puts, quarantine_burst, report, where
from tests.bench.options import at_least
from tests.bench.puts import Puts
from tests.harness.sandwich import private_folder

TARGET = 0.5
"""The lowest ratio of the rate of puts to the bare rate."""


class Finding(NamedTuple):
    """A row of the result: what was measured, its value, what it should be; `missed` is for targets only."""

    what: str
    value: str
    aim: str = ""
    missed: bool = False


class Amounts(NamedTuple):
    """How much is measured."""

    entries: int
    rounds: int


def stored(folder: Path, amounts: Amounts) -> Iterator[Finding]:
    """Rates of puts and of the bare machine in turn."""
    load, bare, ours = Puts(), [], []
    for number in range(amounts.rounds):
        bare.append(puts.bare(folder / f"bare {number}", load))
        ours.append(puts.quarantined(folder / f"puts {number}", load))
    ratio = figures.ratio(ours, bare)
    what = f"messages of {load.size // 1000} KB over {load.threads} threads"
    yield Finding(f"bare rate of the machine, {what}", f"{median(bare):,.0f}/s")
    yield Finding(f"stored, {what}", f"{median(ours):,.0f}/s")
    yield Finding("ratio of the two", f"{ratio.value:.2f} ± {ratio.noise:.2f}", f">= {TARGET}", ratio.value < TARGET)


def held(folder: Path, amounts: Amounts) -> Iterator[Finding]:
    """Lists, searches, counts, expiry and a new index, with many entries."""
    number = f"{amounts.entries:,} entries"
    directory = folder / "many"
    entries.fill(Files(directory), amounts.entries)
    index = entries.rebuild(directory, amounts.entries)
    rates = [f"{amounts.entries / seconds:,.0f}/s" for seconds in index]
    yield Finding(f"a new index from the files of {number}", f"{rates[0]} (of CPU time: {rates[1]})", "> 5,000/s")
    store = Store(directory)
    for name, (aim, query) in entries.QUERIES.items():
        elapsed, cpu = (seconds * 1000 for seconds in entries.usual(store, query))
        yield Finding(f"{name}, {number}", f"{elapsed:.1f} ms (CPU: {cpu:.1f})", f"{aim} ms" if aim else "")
    memory = psutil.Process().memory_full_info().uss / 2**20
    yield Finding("memory of this process with the index open (USS)", f"{memory:.0f} MiB")
    store.close()
    size = sum(path.stat().st_size for path in directory.glob("index.sqlite*")) / 2**20
    yield Finding(f"size of the index of {number}", f"{size:.0f} MiB")
    rate, alone, during = entries.expiry(directory, amounts.entries // 10)
    yield Finding("expiry in batches of 500", f"{rate:,.0f}/s")
    yield Finding("one put of 30 KB, 99 %", f"{entries.high(alone):.1f} ms")
    yield Finding("one put of 30 KB, 99 %, during expiry", f"{entries.high(during):.1f} ms")


def delivered(_folder: Path, _amounts: Amounts) -> Iterator[Finding]:
    """A burst of which half is quarantined."""
    ratio, least = quarantine_burst.delivery_ratio(), quarantine_burst.TARGET
    what = "clean half of a burst of 2,000 messages, delivered with the other half quarantined, to that half rejected"
    yield Finding(what, f"{ratio:.2f}", f">= {least}", ratio < least)


def kept(_folder: Path, amounts: Amounts) -> Iterator[Finding]:
    """The memory of the keeper."""
    for what, size, counts in keeper_memory.measured(amounts.entries):
        share, megabytes = size["Pss"], 10**6
        aim = f"<= {keeper_memory.TARGET // megabytes} MB" if counts else ""
        missed = counts and share > keeper_memory.TARGET
        yield Finding(f"memory of the keeper (Pss), {what}", f"{share / megabytes:.0f} MB", aim, missed)


PARTS: dict[str, Callable[[Path, Amounts], Iterator[Finding]]] = {
    "puts": stored,
    "entries": held,
    "burst": delivered,
    "keeper": kept,
}
"""The parts by their names: each measures in a folder of its own."""


def table(found: Sequence[Finding]) -> Iterator[str]:
    """Yield the surroundings and a row for each finding."""
    yield "".join(f"- {name}: {value}\n" for name, value in where.surroundings().items())
    yield "| measured | value | aim |"
    yield "| --- | --- | --- |"
    for one in found:
        yield f"| {one.what} | {one.value} | {one.aim}{' **MISSED**' if one.missed else ''} |"


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.quarantine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=at_least(1), default=15, help="number of rounds (default 15)")
    parser.add_argument("--entries", type=at_least(1000), default=100_000, help="number of entries (default 100,000)")
    parser.add_argument("--only", choices=PARTS, help="measure this part only")
    parser.add_argument("--document", type=Path, metavar="PAGE", help="insert the table between the marks of this page")
    options = parser.parse_args(arguments)
    found: list[Finding] = []
    for name in [options.only] if options.only else PARTS:
        with private_folder() as folder:
            found += PARTS[name](folder, Amounts(options.entries, options.rounds))
    text = "\n".join(table(found))
    if options.document:
        report.document(options.document, text)
    print(text)  # noqa: T201 - the benchmark's purpose
    return int(any(one.missed for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
