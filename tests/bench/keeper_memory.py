"""Measures the memory of the keeper with many entries: while it indexes them, after its start, during rescans.

    python -m tests.bench.keeper_memory --entries 100000

Exit status 1 if the share (Pss) of a keeper that was started with all entries in the index is above the target; the
figures of a keeper that finds all of them waiting for the index are reported only. A fake clamd answers the scans.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from miltscan.quarantine.files import Files
from tests.bench.options import at_least
from tests.fakes.clamd import FakeClamd
from tests.fakes.entries import ENTRY
from tests.harness.processes import wait_until
from tests.milter.daemon import Daemon

TARGET = 60 * 10**6
"""The largest share of the keeper with all entries in the index, in bytes."""
_LONG = 3600.0  # seconds for all of the work
_SCANS = 200


def fill(files: Files, number: int) -> None:
    """Store messages of the last days, without syncing them."""
    files.prepare()
    real, now = os.fsync, time.time()
    os.fsync = lambda _: None  # type: ignore[assignment]
    try:
        for one in range(number):
            message = os.memfd_create("message")
            os.write(message, b"Subject: number %d\r\n\r\n" % one + b"A line of text.\r\n" * 60)
            recipients = (b"<user%d@domain%d.example>" % (one % 5000, one % 100), b"<copy@example.com>")
            entry = replace(ENTRY, time=now - 86400 * 10 * one / number, recipients=recipients, queue_id=f"Q{one}")
            files.put(entry, message)
            os.close(message)
    finally:
        os.fsync = real


def sizes(pid: int) -> dict[str, int]:
    """Share (Pss), all pages (Rss) and own pages of a process, in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    found = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    return {"Pss": found["Pss"], "Rss": found["Rss"], "own": found["Private_Clean"] + found["Private_Dirty"]}


@contextmanager
def service(entries: int) -> Iterator[Daemon]:
    """A service that is not started, with so many entries, each of which it would scan again."""
    folder = Path(tempfile.mkdtemp(prefix="miltscan-"))
    try:
        fill(Files(folder / "quarantine"), entries)
        with FakeClamd.unix(folder / "clamd") as clamd:
            settings = {"policy.on_infected": "quarantine", "quarantine.area.default.notice": "recipients"}
            settings |= {"delivery.server": "inet:1@127.0.0.1", "clamd.canary_interval": "1s"}
            daemon = Daemon(folder, clamd, settings)
            try:
                yield daemon
            finally:
                daemon.end()
    finally:
        shutil.rmtree(folder)


def measured(entries: int) -> Iterator[tuple[str, dict[str, int], bool]]:
    """Yield what the keeper does, its sizes, and whether the target counts."""
    with service(entries) as daemon:
        daemon.start()
        daemon.wait_ready()
        wait_until(daemon.keepers, _LONG, "a keeper")
        (keeper,) = daemon.keepers()
        new = daemon.folder / "quarantine" / "new"
        began = time.monotonic()
        wait_until(lambda: len(os.listdir(new)) < entries // 2, _LONG, "half of the index")  # noqa: PTH208 - many
        yield "half of the entries are in the index", sizes(keeper.pid), False
        wait_until(lambda: not os.listdir(new), _LONG, "the index")  # noqa: PTH208 - as above
        yield f"all of them are, after {time.monotonic() - began:.0f} s", sizes(keeper.pid), False
        keeper.kill()
        keeper = wait_until(lambda: [one for one in daemon.keepers() if one != keeper], _LONG, "its successor")[0]
        wait_until(lambda: daemon.metric("quarantine_entries") == entries, _LONG, "the count")
        yield "a new keeper has counted them", sizes(keeper.pid), True
        before = daemon.metric("quarantine_rescans_total")
        wait_until(lambda: daemon.metric("quarantine_rescans_total") >= before + _SCANS, _LONG, "some rescans")
        yield f"it has scanned {_SCANS} of them again", sizes(keeper.pid), True


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.keeper_memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--entries", type=at_least(100), default=100_000, help="number of entries (default 100,000)")
    largest = 0
    for what, size, counts in measured(parser.parse_args(arguments).entries):
        shown = ", ".join(f"{name} {bytes_ / 10**6:.0f} MB" for name, bytes_ in size.items())
        print(f"{what}: {shown}", flush=True)  # noqa: T201 - the benchmark's purpose
        largest = max(largest, size["Pss"] * counts)
    return int(largest > TARGET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
