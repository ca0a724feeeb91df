"""Measures the CPU time of the MIME reader: ordinary mail by size, and the worst that repeated characters can do.

    .venv/bin/python -m tests.bench.reading [--mib 10]

The second table repeats each character of the grammar, each pair of them and each line of a kind in several contexts,
and prints the slowest ones. The reader has no bound on its time here, as it has in the service.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations
from random import Random
from typing import NamedTuple

from miltscan.core.mime.part import MIB, Bounds
from miltscan.core.mime.reader import read_message
from tests.fakes.wrappings import attached, b64, mail, mixed, qp

_CHARACTERS = [bytes([code]) for code in b"aA=-:;\"'(%\\ \t\r\n\0\xff!*+/\x90"]
_LINES = (
    b"--b\r\n|--b--\r\n|Content-Type: a/b\r\n|\nContent-Type: a/b\n\n|begin 644 a\n|=ybegin a\n|QUI=\r\n|A\n|=0\n|"
    b"a: b\n|; boundary=c|name*0=a;|=?x?q?a?=|!\n"
).split(b"|")
_MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n"
_ENCODED = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: %b\r\n"
_CONTEXTS: Mapping[str, bytes] = {
    "text": mail(b"", b""),
    "base64": mail(_ENCODED % b"base64", b""),
    "quoted-printable": mail(_ENCODED % b"quoted-printable", b""),
    "unknown encoding": mail(_ENCODED % b"x-uu-xx-yenc", b""),
    "multipart": mail(_MIXED, b""),
    "header": b"",
    "value": b"Content-Type: ",
}
_ROUNDS = 7
_WORST = 15


class Slow(NamedTuple):
    """How long a message took that repeats some bytes."""

    milliseconds: float
    """CPU time for each MiB."""
    context: str
    unit: bytes
    limit: str


def ordinary() -> Mapping[str, bytes]:
    """Messages of common kinds and sizes."""
    text = b"Some text of a message, which is - as they are - about 70 bytes long.\r\n"
    content = Random(0).randbytes(MIB * 3 // 4)  # noqa: S311  sample data
    quoted = b'<p style=3D"color: red">Gr=C3=BC=C3=9Fe and some more of the text, with a soft=\r\n line break</p>\r\n'
    return {
        "text of 1 KB": mail(b"Content-Type: text/plain\r\n", text * 10),
        "HTML of 30 KB": mixed(
            b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted * 300
        ),
        "attachment of 1 MB": attached(b64(content)),
        "text of 1 MB": mail(b"Content-Type: text/plain\r\n", text * 14_000),
        "quoted-printable of 1 MB": attached(
            qp(content[: MIB // 3]), b"Content-Transfer-Encoding: quoted-printable\r\n"
        ),
    }


def seconds(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """The least CPU time of several rounds."""
    times = []
    for _ in range(rounds):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return min(times)


def slow(size: int) -> Iterator[Slow]:
    """The time for messages of `size` bytes that repeat something."""
    units = [*_CHARACTERS, *_LINES]
    units += [first + second for of in (_CHARACTERS, _LINES) for first, second in permutations(of, 2)]
    bounds = Bounds(time.thread_time, seconds=1000)
    for context, head in _CONTEXTS.items():
        for unit in units:
            data = head + unit * (size // len(unit))
            start = time.thread_time()
            limit = read_message(data, bounds).limit
            yield Slow((time.thread_time() - start) * 1000 / (size / MIB), context, unit, limit or "")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=float, default=1.0, help="size of each message of the second table")
    size = int(parser.parse_args().mib * MIB)
    for name, data in ordinary().items():
        reading = read_message(data, Bounds(time.thread_time))
        took = seconds(lambda data=data: read_message(data, Bounds(time.thread_time)))  # type: ignore[misc]
        print(f"{name:26} {took * 1000:8.3f} ms   {'plain' if reading.plain else 'odd'}")  # noqa: T201
    print(f"\nThe slowest of {size / MIB:g} MiB each, by ms of CPU time for each MiB:")  # noqa: T201
    for one in sorted(slow(size), reverse=True)[:_WORST]:
        print(f"{one.milliseconds:8.1f}   {one.context:18} {one.unit!r} {one.limit}")  # noqa: T201


if __name__ == "__main__":
    main()
