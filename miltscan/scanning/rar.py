"""Whether an engine opens rar, which miltscan and 7-Zip do not: found by a sample, when a message has one.

clamd opens it with libclamunrar, which is not free software and which distributions leave out. Without this library its
reply to every rar is OK.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from miltscan.core.message import Message
from miltscan.core.verdict import Limit, Outcome, Verdict
from miltscan.engines.base import Engine, Tick
from miltscan.engines.clamd.canary import rar_sample
from miltscan.engines.clamd.client import test_signature
from miltscan.scanning.spool import Spool

_KNOWN_FOR = 600.0  # seconds; an engine that does not open rar is asked again at the next one
_opens: dict[str, float] = {}
"""Engines that open rar, by name: until when this is believed (time.monotonic seconds)."""


def unopened_rar(  # noqa: PLR0913 - what a scan needs, and its place
    engine: Engine, path: str, message: Message, make: Callable[[], Spool], deadline: float, *, tick: Tick
) -> Iterator[Verdict]:
    """Why the rar that is the part of this path is not scanned; nothing if the engine opens rar. `make` makes a spool.

    Raises SpoolError and what `tick` does.
    """
    if time.monotonic() < _opens.get(engine.name, 0.0):
        return
    sample = rar_sample(test_signature())
    with closing(make()) as spool:
        spool.write(sample)
        found = engine.scan(message._replace(content=spool, size=len(sample)), deadline, tick)
    if found.outcome is Outcome.INFECTED and not found.suspected:
        _opens[engine.name] = time.monotonic() + _KNOWN_FOR
        return
    why = f"part {path}: a rar, which {engine.name} does not open (clamd: without libclamunrar)"
    yield found if found.failed else Verdict.unscanned(engine.name, Limit.LIMITS, why)
