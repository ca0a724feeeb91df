"""What the archive of digests costs: `python -m tests.bench.archive`, with the number of messages (default 1,000,000).

CPU time of a worker to hash the parts of a message; size on disk, CPU time to write and to search, and memory of the
process meanwhile. Each archived message has two parts and addresses of usual length.
"""

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from itertools import chain
from pathlib import Path

from miltscan.core.archived import AcceptedMail
from miltscan.core.message import PREFACE, Client, Envelope, Message
from miltscan.core.mime.part import Bounds
from miltscan.core.mime.reader import read_message
from miltscan.quarantine.archive import DigestArchive
from miltscan.scanning.digests import PartDigests
from miltscan.scanning.spool import Spool
from tests.bench import packets
from tests.bench.reading import seconds

_ROUNDS = 20
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


def hashed(size: int) -> str:
    """A line for a worker that has read a message of `size` bytes and hashes it."""
    content = packets.content(size)
    with tempfile.TemporaryDirectory() as folder, closing(Spool(Path(folder), 1 << 20)) as spool:
        spool.write(PREFACE + content)
        message = Message(Client("", ""), Envelope(b""), "", b"", (), len(content), spool)
        reading = read_message(content, Bounds(time.thread_time))
        took = seconds(lambda: PartDigests(100).of(message, reading, lambda: None), _ROUNDS)
    return f"worker   {took * 1000:.3f} ms of CPU for {size / 1000:,.0f} KB"


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
    lines = chain(measured(count), map(hashed, (1_000, 30_000, 1_000_000, 10_000_000)))
    sys.stdout.writelines(f"{line}\n" for line in lines)
