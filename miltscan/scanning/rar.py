"""Whether a server of an engine opens rar, which miltscan and 7-Zip do not: found by a sample, when a message has one.

clamd opens it with libclamunrar, which is not free software and which distributions leave out. Without this library its
reply to every rar is OK. The servers of an engine need not be alike: only the one that called a rar clean counts.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from miltscan.core.message import Message
from miltscan.core.verdict import Limit, Outcome, Verdict
from miltscan.engines.base import Engine, Tick
from miltscan.engines.clamd.canary import rar_sample
from miltscan.engines.clamd.client import test_signature
from miltscan.scanning.spool import Spool

_KNOWN_FOR = 600.0  # seconds; a server that does not open rar is asked again at the next one
_MOST = 16  # samples; an engine's servers answer in rotation, which other messages move on as well


class Asked(NamedTuple):
    """An engine, and the one of its servers that is asked."""

    engine: Engine
    server: str


_opens: dict[tuple[str, str], float] = {}
"""Engine and server that opens rar: until when this is believed (time.monotonic seconds)."""


def unopened_rar(  # noqa: PLR0913 - what a scan needs, and its place
    asked: Asked, path: str, message: Message, make: Callable[[], Spool], deadline: float, *, tick: Tick
) -> Iterator[Verdict]:
    """Why the rar that is the part of this path is not scanned; nothing if the server opens rar. `make` makes a spool.

    Raises SpoolError and what `tick` does.
    """
    engine, server = asked
    who = f"{engine.name} at {server}" if server else engine.name
    if time.monotonic() < _opens.get((engine.name, server), 0.0):
        return
    sample = rar_sample(test_signature())
    with closing(make()) as spool:
        spool.write(sample)
        for _ in range(_MOST):
            found = engine.scan(message._replace(content=spool, size=len(sample)), deadline, tick)
            opened = found.outcome is Outcome.INFECTED and not found.suspected
            if opened:
                _opens[engine.name, found.server] = time.monotonic() + _KNOWN_FOR
            if found.server == server or found.failed:
                break
        else:
            why = f"part {path}: a rar, and {who} did not take the sample that shows whether it opens rar"
            yield Verdict.unscanned(engine.name, Limit.ENGINE_UNABLE, why, server)
            return
    if not opened:
        why = f"part {path}: a rar, which {who} does not open (clamd: without libclamunrar)"
        yield found if found.failed else Verdict.unscanned(engine.name, Limit.LIMITS, why, server)
