"""Sends messages over parallel sessions to a milter, or straight to clamd, as fast as they are answered; times each.

The work is done by a program in C (native/generator.c) that gets all bytes in a file made beforehand, so that the load
takes little of the processors that it shares with what is measured. How little is measured as well: `Sample.own`.
"""

import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.bench import native, packets
from tests.fakes.milter_wire import Command, Options, encode, encode_options
from tests.fakes.mta import MTA

_TIMEOUT = 60.0  # seconds for one reply


class RefusedError(Exception):
    """A clean message was not taken: what it costs to fail is not what is measured."""


@dataclass(frozen=True, slots=True)
class Load:
    """`messages` over `sessions` at once, `in_session` messages in each; `sizes` in bytes come in turn."""

    sizes: tuple[int, ...]
    messages: int
    sessions: int
    in_session: int = 10
    name: str = ""

    @property
    def size(self) -> str:
        """What the messages are, for people."""
        return self.name or _bytes(self.sizes[0])


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a load: seconds it took, seconds of CPU of the generator itself, seconds of each message."""

    seconds: float
    own: float
    latencies: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a load goes: to a "milter" or to "clamd", on the unix socket `path`."""

    kind: str
    path: Path


def run(folder: Path, address: Address, load: Load, first: int) -> Sample:
    """Send the load; its messages bear the numbers from `first` on. RefusedError if one is not taken.

    `folder` keeps the generator and the messages for further runs.
    """
    plan = _plan(folder, address, load.sizes)
    numbers = map(str, [load.messages, load.sessions, load.in_session, first])
    command = [*map(str, [native.generator(folder), address.kind, address.path, plan]), *numbers]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RefusedError(f"{address.path}: {ended.stderr.strip()}")
    return parse(ended.stdout)


def parse(output: str) -> Sample:
    """What the generator prints."""
    head, *latencies = output.splitlines()
    seconds, own = map(float, head.split())
    return Sample(seconds, own, tuple(int(value) / 1e6 for value in latencies))


def open_session(address: Path) -> MTA:
    """A session that has been negotiated and has told of its client, and now does nothing."""
    mta = MTA.open(f"unix:{address}", timeout=_TIMEOUT)
    mta.connect()
    return mta


@cache
def _plan(folder: Path, address: Address, sizes: Sequence[int]) -> Path:
    """The file of a load; a filter asks for the same steps as long as it lives."""
    kinds = sorted(set(sizes))
    parts = _clamd(kinds) if address.kind == "clamd" else _milter(_negotiated(address.path), kinds)
    cycle = [len(sizes), *(kinds.index(size) for size in sizes)]
    path = folder / f"{abs(hash((address, sizes))):x}.plan"
    path.write_bytes(b"".join(parts) + _words(*cycle))
    return path


def _milter(options: Options, sizes: Sequence[int]) -> Iterator[bytes]:
    yield burst(encode_options(Options()))
    yield burst(encode(Command.QUIT))
    yield _words(len(sizes))
    for size in sizes:
        yield _script(packets.first(options, size))
        yield _script(packets.further(options, size))


def _clamd(sizes: Sequence[int]) -> Iterator[bytes]:
    """All messages of a session in one IDSESSION (clamd(8)), which costs less than a connection each."""
    yield burst(b"zIDSESSION\0")
    yield burst(b"zEND\0")
    yield _words(len(sizes))
    for size in sizes:
        yield _script([packets.content(size)]) * 2


def _script(bursts: Sequence[bytes]) -> bytes:
    return _words(len(bursts)) + b"".join(map(burst, bursts))


def burst(data: bytes) -> bytes:
    """Length, number of marks, where they are, and the bytes up to a multiple of four: as generator.c reads it."""
    marks = [*_marks(data)]
    return _words(len(data), len(marks), *marks) + data + b"\0" * (-len(data) % 4)


def _marks(data: bytes) -> Iterator[int]:
    place = data.find(packets.MARK)
    while place >= 0:
        yield place
        place = data.find(packets.MARK, place + len(packets.MARK))


def _words(*numbers: int) -> bytes:
    return struct.pack(f"={len(numbers)}I", *numbers)


def _negotiated(address: Path) -> Options:
    with MTA.open(f"unix:{address}", timeout=_TIMEOUT) as mta:
        mta.quit()
        return mta.options


def _bytes(size: int) -> str:
    return f"{size // 1_000_000} MB" if size >= 1_000_000 else f"{size // 1_000} KB"
