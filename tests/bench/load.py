"""Sends messages over parallel sessions to a milter or directly to clamd, as fast as they reply, and times each.

A C program (native/generator.c) does the work, with all bytes in a file prepared in advance. So the load takes little
of the processors that it shares with the filter. `Sample.own` is the CPU time that it takes.
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
    """A clean message was not accepted, so the cost would be that of a failure."""


@dataclass(frozen=True, slots=True)
class Load:
    """`messages` over `sessions` at once, with `in_session` messages in each; `sizes` (bytes) are used in turn."""

    sizes: tuple[int, ...]
    messages: int
    sessions: int
    in_session: int = 10
    name: str = ""

    @property
    def size(self) -> str:
        """The size or kind of the messages, for people."""
        return self.name or _bytes(self.sizes[0])


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a load: its seconds, the CPU seconds of the generator itself, and the seconds of each message."""

    seconds: float
    own: float
    latencies: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """The destination of a load: a "milter" or "clamd", on the unix socket `path`."""

    kind: str
    path: Path


def run(folder: Path, address: Address, load: Load, first: int) -> Sample:
    """Send the load, with messages numbered from `first` on. RefusedError if one is not accepted.

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
    """Parse the output of the generator."""
    head, *latencies = output.splitlines()
    seconds, own = map(float, head.split())
    return Sample(seconds, own, tuple(int(value) / 1e6 for value in latencies))


def open_session(address: Path) -> MTA:
    """Open a session that has negotiated and sent its client, and is now idle."""
    mta = MTA.open(f"unix:{address}", timeout=_TIMEOUT)
    mta.connect()
    return mta


@cache
def _plan(folder: Path, address: Address, sizes: Sequence[int]) -> Path:
    """Return the file of a load; a filter negotiates the same steps for all of its sessions."""
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
    """Yield the messages of a session in one IDSESSION (clamd(8)), which costs less than a connection for each."""
    yield burst(b"zIDSESSION\0")
    yield burst(b"zEND\0")
    yield _words(len(sizes))
    for size in sizes:
        yield _script([packets.content(size)]) * 2


def _script(bursts: Sequence[bytes]) -> bytes:
    return _words(len(bursts)) + b"".join(map(burst, bursts))


def burst(data: bytes) -> bytes:
    """Encode for generator.c: length, number of marks, their positions, and the bytes padded to a multiple of four."""
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
