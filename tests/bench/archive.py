"""What the archive of digests costs: `python -m tests.bench.archive`, with the number of messages (default 1,000,000).

Size on disk, CPU time to write and to search, and memory of the process meanwhile. Each message has two parts and
addresses of usual length.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from miltscan.core.archived import AcceptedMail
from miltscan.quarantine.archive import DigestArchive

_BATCH = 100  # messages, as a busy worker sends them
_DAY = date(2026, 9, 21)


def _messages(first: int) -> list[tuple[AcceptedMail, list[bytes]]]:
    return [
        (
            AcceptedMail(
                1_790_000_000.0 + number / 10,
                f"6AT5D0xx{number:06}",
                "198.51.100.123",
                b"<firstname.lastname%d@example.org>" % (number % 1000),
                (b"<recipient.name%d@example.com>" % (number % 100),),
                1,
            ),
            [os.urandom(32) for _ in range(3)],
        )
        for number in range(first, first + _BATCH)
    ]


def measured(number: int) -> Iterator[str]:
    """A line for each figure."""
    with tempfile.TemporaryDirectory() as folder:
        archive, wanted, spent = DigestArchive(Path(folder)), list[bytes](), 0.0
        for first in range(0, number, _BATCH):
            messages = _messages(first)
            wanted += [messages[0][1][0]] if first % 100_000 == 0 else []
            start = time.process_time()
            archive.add(messages, _DAY)
            spent += time.process_time() - start
        yield f"size     {archive.size() / 2**20:,.0f} MiB, {archive.size() / number:,.0f} bytes a message"
        yield f"write    {spent / number * 1e6:.1f} us of CPU a message"
        start = time.process_time()
        found = archive.search(wanted, besides={})
        yield f"search   {time.process_time() - start:.2f} s of CPU, {len(found)} of {len(wanted)} digests found"
        yield f"memory   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB at most"


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    sys.stdout.writelines(f"{line}\n" for line in measured(count))
