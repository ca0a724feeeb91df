"""Exemplars: for each bucket of a histogram and for some counters, the queue ID of the last message counted.

prometheus_client drops them where several processes count. Here each process keeps its own in memory and writes them to
one small file beside its counters, at most once a second; the exporter takes the newest of each. They lead from a slow
bucket of a graph to the message's log line. A queue ID that is no plain word (the MTA's, hence any text) is left out.
"""

import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import orjson

_PAUSE = 1.0  # seconds between two writes
_LONGEST = 64  # characters of a queue ID; OpenMetrics allows 128 for the labels of an exemplar, names included
PATTERN = "exemplars_*.json"


class Exemplar(NamedTuple):
    """One message that was counted: its queue ID, what was measured, and when (seconds since the epoch)."""

    queue_id: str
    value: float
    time: float


class Exemplars:
    """Those of this process, by `series`; without `attach` they are kept in memory alone."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._kept: dict[str, tuple[str, float, float]] = {}
        self._changed = False
        self._written = 0.0

    def attach(self, directory: Path, slot: str) -> None:
        """Write to `directory` as `slot` from now on."""
        self._file = directory / PATTERN.replace("*", slot)
        self._kept, self._changed, self._written = {}, False, 0.0

    def keep(self, series: str, queue_id: str, value: float, now: float) -> None:
        """The last one counted there."""
        if queue_id.isalnum() and queue_id.isascii() and len(queue_id) <= _LONGEST:
            self._kept[series] = queue_id, value, now
            self._changed = True

    def write(self) -> None:
        """Let the exporter see them, if there are new ones and the last time is a second ago. OSError if it cannot."""
        now = time.monotonic()
        if self._file is None or not self._changed or now - self._written < _PAUSE:
            return
        self._written, self._changed = now, False
        new = self._file.with_suffix(".new")
        new.write_bytes(orjson.dumps(self._kept))
        new.rename(self._file)


@lru_cache(maxsize=4096)  # made of the same few labels at every message
def series(sample: str, names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """A sample's name and labels as one text, whatever the order of the labels."""
    return "\0".join((sample, *(value for _, value in sorted(zip(names, values, strict=True)))))


def read_exemplars(directory: Path) -> Mapping[str, Exemplar]:
    """The newest of all processes' exemplars of each series; a file that cannot be read has none."""
    newest: dict[str, Exemplar] = {}
    for file in directory.glob(PATTERN):
        for place, exemplar in _kept(file).items():
            if place not in newest or newest[place].time < exemplar[2]:
                newest[place] = Exemplar(*exemplar)
    return newest


def _kept(file: Path) -> Mapping[str, tuple[str, float, float]]:
    try:
        kept: dict[str, tuple[str, float, float]] = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return kept


EXEMPLARS = Exemplars()
"""Those of this process."""
