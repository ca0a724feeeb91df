"""Sends messages to a milter over parallel sessions, as fast as it answers; measures nothing.

Its own CPU time is not counted, but it shares the machine with the filter, so all bytes are made beforehand.
"""

import socket
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tests.bench import packets
from tests.fakes.milter_wire import INTERIM, Code, Command, Options, encode, encode_options, parse_options
from tests.fakes.mta import MTA

_TIMEOUT = 60.0  # seconds for one reply
_TAKEN = frozenset({Code.CONTINUE, Code.ACCEPT})


class RefusedError(Exception):
    """The milter did not take a clean message: what it costs to fail is not what is measured."""


@dataclass(frozen=True, slots=True)
class Load:
    """`messages` of `size` bytes over `sessions` at once, `in_session` messages in each."""

    size: int
    messages: int
    sessions: int
    in_session: int = 5


def run(address: Path, load: Load, numbers: Iterable[int]) -> None:
    """Send the load to the milter on the unix socket `address`; `numbers` tell its messages from all others."""
    options = _negotiated(address)
    templates = (packets.first(options, load.size), packets.further(options, load.size))
    chosen = iter(list(islice(numbers, load.messages)))
    shares = [share for _ in range(load.messages) if (share := list(islice(chosen, load.in_session)))]
    with ThreadPoolExecutor(load.sessions) as pool:
        list(pool.map(lambda share: _session(address, templates, share), shares))


def open_session(address: Path) -> MTA:
    """A session that has been negotiated and has told of its client, and now does nothing."""
    mta = MTA.open(f"unix:{address}", timeout=_TIMEOUT)
    mta.connect()
    return mta


def _negotiated(address: Path) -> Options:
    with MTA.open(f"unix:{address}", timeout=_TIMEOUT) as mta:
        mta.quit()
        return mta.options


def _session(address: Path, templates: tuple[list[bytes], list[bytes]], numbers: Sequence[int]) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT)
        connection.connect(str(address))
        mta = MTA(connection, timeout=_TIMEOUT)
        mta.raw(encode_options(mta.offer))
        parse_options(mta.read())
        for place, number in enumerate(numbers):
            for burst in packets.marked(templates[min(place, 1)], number):
                mta.raw(burst)
                _await(mta)
        mta.raw(encode(Command.QUIT))


def _await(mta: MTA) -> None:
    while (reply := mta.read()).code in INTERIM:
        pass
    if reply.code not in _TAKEN:
        raise RefusedError(f"the milter answered {reply}")
